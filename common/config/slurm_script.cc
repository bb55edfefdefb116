// SPDX-License-Identifier: Apache-2.0
#include "common/config/slurm_script.h"

namespace ferment {
namespace {

std::string Word(const std::string& text) { return ToShell({{text}, {}}); }

/// In names of files Slurm takes % for the beginning of a pattern.
std::string WithoutPatterns(const std::string& path) {
  std::string text;
  for (const char letter : path) text += letter == '%' ? "%%" : std::string(1, letter);
  return text;
}

std::string Options(const SlurmJob& job) {
  std::string text = "#!/bin/bash\n";
  const auto add = [&text](const std::string& option) { text += "#SBATCH --" + option + "\n"; };
  add("job-name=" + Word(job.name));
  add("ntasks=" + std::to_string(job.ranks));
  add("cpus-per-task=" + std::to_string(job.threads_per_rank));
  if (job.gpus) add("gpus-per-task=1");
  add("chdir=" + Word(job.run_dir.string()));
  add("output=" + Word(WithoutPatterns(job.log_file.string())));
  add("open-mode=append");
  add("signal=B:USR2@" + std::to_string(job.notice.count()));
  if (job.record.empty()) {
    add("requeue");
  } else {
    add("no-requeue");
    // Slurm runs no two jobs of this name at a time, should it ever have been given two.
    add("dependency=singleton");
  }
  return text;
}

constexpr char kSignals[] = R"(
set +o posix
mpirun=
left=
ended=
caught=
pass_on() { caught=1; [[ -z $mpirun ]] || kill -s "$1" "$mpirun" 2>/dev/null; }
# Save a checkpoint and go on.
trap 'pass_on USR1' USR1
# Save one and leave: the time is nearly over or somebody asks for it; or Slurm ends the job.
trap 'left=${left:-$SECONDS}; pass_on USR2' USR2
trap 'ended=1; left=${left:-$SECONDS}; pass_on USR2' TERM
)";

std::string Begin(const SlurmJob& job) {
  return "\nrecord=" + Word(job.record.string()) + "\nif [[ -d ${record%/*} && ! -e $record" + kSlurmScript +
         " ]]; then\n"
         "  echo \"ferment: job $SLURM_JOB_ID does nothing: its run is not in this folder any more\" >&2\n"
         "  exit 202\n"
         "fi\n"
         "# Only one job may begin this start, and only once: whoever makes this file. Nothing is written with that: a "
         "full\n"
         "# disk is not somebody else.\n"
         "if ! (set -o noclobber; : >\"$record" +
         kSlurmBegin +
         "\") 2>/dev/null; then\n"
         "  if [[ -e $record" +
         kSlurmBegin +
         " ]]; then\n"
         "    echo \"ferment: job $SLURM_JOB_ID does nothing: this start was begun, or withdrawn, before\" >&2\n"
         "    exit 202\n"
         "  fi\n"
         "  echo \"ferment: $(hostname) cannot write $record" +
         kSlurmBegin +
         ": the run folder must be on a file system that all nodes share\" >&2\n"
         "  exit 73\n"
         "fi\n"
         "echo \"$SLURM_JOB_ID\" >\"$record" +
         kSlurmBegin + "\"\n";
}

std::string Run(const SlurmJob& job) {
  const std::string program = Word(job.command.argv.at(0));
  return "\n# Open MPI starts its daemons with srun: they see all that the job has on a node.\n"
         "export SLURM_CPU_BIND=none\n"
         "unset SLURM_GPUS_PER_TASK\n"
         "code=143\n"
         "if ! command -v " +
         program +
         " >/dev/null; then\n"
         "  echo \"ferment: no such program on $(hostname): \"" +
         program +
         " >&2\n"
         "  code=69\n"
         "elif [[ -z $left ]]; then\n  " +
         ToShell(job.command) +
         " &\n"
         "  mpirun=$!\n"
         "  [[ -z $left ]] || kill -s USR2 \"$mpirun\" 2>/dev/null\n"
         "  # A signal ends the wait before mpirun has ended; bash was seen to answer -1 where both came at once.\n"
         "  while caught=; wait \"$mpirun\"; code=$?; [[ -n $caught ]]; do :; done\n"
         "  ((code >= 0)) || { wait \"$mpirun\"; code=$?; }\n"
         "  ((code >= 0)) || code=143\n"
         "fi\n";
}

std::string End(const SlurmJob& job) {
  const std::string long_enough = "left >= " + std::to_string(job.least_run.count());
  if (job.record.empty()) {
    return "# A job that was cancelled stays so.\n"
           "if [[ -n $left && -z $ended ]] && ((" +
           long_enough + " && code == 143)); then scontrol requeue \"$SLURM_JOB_ID\"; fi\nexit \"$code\"\n";
  }
  return "trap '' USR1 USR2 TERM\nasked=\nif [[ -n $left ]] && ((" + long_enough +
         " && (code == 1 || code >= 128))); then asked=' " + kSlurmAsked +
         "'; fi\n"
         "echo \"$code$asked\" >\"$record" +
         kSlurmEnd + ".part\" && sync \"$record" + kSlurmEnd + ".part\" && mv \"$record" + kSlurmEnd +
         ".part\" \"$record" + kSlurmEnd +
         "\"\n"
         "exit \"$code\"\n";
}

}  // namespace

std::string SlurmScript(const SlurmJob& job) {
  std::string text = Options(job) + kSignals;
  if (!job.record.empty()) text += Begin(job);
  return text + Run(job) + End(job);
}

}  // namespace ferment
