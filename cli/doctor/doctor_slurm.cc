// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_slurm.h"

#include <algorithm>
#include <chrono>

#include "common/event/child_process.h"
#include "common/event/program_output.h"

namespace ferment::cli {
namespace {

constexpr std::chrono::seconds kPatience{20};

Finding CheckPrograms() {
  for (const char* program : {"sbatch", "squeue", "scancel", "scontrol"}) {
    if (!event::FindProgram(program)) {
      return {"slurm", false, std::string(program) + " is missing",
              "install Slurm's programs on this machine (Debian: apt-get install slurm-client), or set "
              "resources.launcher: local"};
    }
  }
  return {"slurm", true, event::FindProgram("sbatch")->string()};
}

Finding CheckController() {
  const std::string fix =
      "have slurmctld started; SLURM_CONF names the cluster's slurm.conf where it is not /etc/slurm";
  const auto answer = event::OutputOf({"scontrol", "ping"}, kPatience);
  if (!answer) return {"slurmctld", false, std::string(answer.error().message()), fix};
  return {"slurmctld", answer->exit_code == 0 && answer->text.find("is UP") != std::string::npos,
          event::FirstLine(answer->text), fix};
}

Finding CheckJob(const RunSpec& spec) {
  std::vector<std::string> argv = {"sbatch", "--test-only",
                                   "--ntasks=" + std::to_string(std::max(1U, spec.resources().ranks())),
                                   "--cpus-per-task=" + std::to_string(spec.resources().threads_per_rank())};
  if (spec.resources().device() == "cuda") argv.push_back("--gpus-per-task=1");
  argv.insert(argv.end(), {"--wrap", "true"});
  const auto answer = event::OutputOf(argv, kPatience);
  const std::string fix =
      "set resources.ranks and threads_per_rank to what a partition has, or name one that has them: "
      "SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT (sbatch(1))";
  if (!answer) return {"slurm job", false, std::string(answer.error().message()), fix};
  return {"slurm job", answer->exit_code == 0, event::LastLine(answer->text), fix};
}

}  // namespace

Findings CheckSlurm(const RunSpec& spec) {
  Findings findings = {CheckPrograms()};
  if (findings.back().good) findings.push_back(CheckController());
  if (findings.back().good) findings.push_back(CheckJob(spec));
  return findings;
}

}  // namespace ferment::cli
