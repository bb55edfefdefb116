// SPDX-License-Identifier: Apache-2.0
#include "cli/launch_plan.h"

#include <algorithm>

#include "common/config/launch_command.h"
#include "common/config/run_layout.h"
#include "common/config/slurm_script.h"
#include "common/config/spec_defaults.h"
#include "common/event/child_process.h"

namespace ferment::cli {
namespace {

TrainerLaunch LaunchOf(const std::filesystem::path& run_dir, const std::string& phase, std::uint32_t round) {
  TrainerLaunch launch = LaunchOnThisMachine();
  launch.trainer = event::ProgramFolder() / "ferment-trainer";
  launch.run_dir = run_dir;
  launch.phase = phase;
  launch.round = round;
  return launch;
}

void PrintPhase(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& phase,
                std::uint32_t round) {
  const TrainerLaunch launch = LaunchOf(run_dir, phase, round);
  out << "\n# " << JobId(phase, round) << "\n" << ToShell(MakeLaunchCommand(spec, launch)) << "\n";
}

void PrintLabeling(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir,
                   const std::string& job_id) {
  out << "\n# " << job_id << "\n"
      << ToShell({{(event::ProgramFolder() / "ferment-labeler").string(), "--offline", "--run-dir", run_dir.string(),
                   "--job", job_id, "--device", LabelsOnGpus(spec) ? "cuda" : "cpu"},
                  {}})
      << "\n";
}

}  // namespace

void PrintPhases(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir) {
  PrintPhase(out, spec, run_dir, "teacher", 0);
  for (std::uint32_t round = 0; round < std::max(1U, spec.cotrain().rounds()); ++round) {
    PrintLabeling(out, spec, run_dir, JobId("label", round));
    PrintPhase(out, spec, run_dir, "cotrain", round);
  }
  PrintPhase(out, spec, run_dir, "finetune", 0);
  if (UsesSyntheticSets(spec) || !spec.data().videos().path().empty()) {
    out << "\n# features\n# Labelers do it for a coordinator alone: `ferment run` or `ferment submit`, once these are "
           "done.\n";
    PrintPhase(out, spec, run_dir, "temporal", 0);
  }
  PrintPhase(out, spec, run_dir, "evaluate", 0);
}

void PrintSlurmPhase(std::ostream& out, const RunSpec& spec, const std::filesystem::path& run_dir,
                     const std::string& phase, std::uint32_t round) {
  const std::uint32_t ranks = std::max(1U, spec.resources().ranks());
  const std::uint32_t threads = spec.resources().threads_per_rank();
  TrainerLaunch launch = LaunchOf(run_dir, phase, round);
  launch.cores = ranks * threads;
  const std::string job_id = JobId(phase, round);
  out << SlurmScript({.name = spec.name() + "-" + job_id,
                      .command = MakeLaunchCommand(spec, launch),
                      .ranks = ranks,
                      .threads_per_rank = threads,
                      .gpus = spec.resources().device() == "cuda",
                      .run_dir = run_dir,
                      .log_file = RunLayout(run_dir).Log(job_id)});
}

}  // namespace ferment::cli
