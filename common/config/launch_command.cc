// SPDX-License-Identifier: Apache-2.0
#include "common/config/launch_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/base/usable_cores.h"

namespace ferment {
namespace {

std::uint32_t Ranks(const RunSpec& spec) { return std::max(1U, spec.resources().ranks()); }

std::string Quoted(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@+%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char letter : word) {
    if (letter == '\'') {
      quoted += "'\\''";
    } else {
      quoted += letter;
    }
  }
  return quoted + "'";
}

void AppendMpirun(std::vector<std::string>& argv, std::uint32_t ranks, const TrainerLaunch& launch) {
  argv.insert(argv.end(),
              {launch.mpirun.string(), "-np", std::to_string(ranks), "--bind-to", "none", "--oversubscribe"});
  if (ranks > launch.cores) argv.insert(argv.end(), {"--mca", "mpi_yield_when_idle", "1"});
  // Cross-memory attach needs ptrace rights that containers take away, and prints an error a message without them.
  argv.insert(argv.end(), {"--mca", "btl_vader_single_copy_mechanism", "none"});
  // Seconds that mpirun waits before it kills, and twice that after any rank has left with an error, though all are
  // gone by then: long enough for a small checkpoint should TERM ever reach mpirun, short enough to hear of a failure
  // at once (docs/decisions/0012-how-long-mpirun-waits.md).
  argv.insert(argv.end(), {"--mca", "odls_base_sigkill_timeout", "2"});
}

}  // namespace

std::uint32_t ThreadsPerRank(const RunSpec& spec, unsigned cores) {
  if (spec.resources().has_threads_per_rank()) return spec.resources().threads_per_rank();
  return std::max(1U, cores / Ranks(spec));
}

TrainerLaunch LaunchOnThisMachine() {
  TrainerLaunch launch;
  launch.cores = UsableCores();
  launch.as_root = geteuid() == 0;
  if (const char* spin_count = std::getenv("GOMP_SPINCOUNT")) launch.spin_count = spin_count;
  return launch;
}

LaunchCommand MakeLaunchCommand(const RunSpec& spec, const TrainerLaunch& launch) {
  LaunchCommand command;
  std::vector<std::string>& argv = command.argv;
  AppendMpirun(argv, Ranks(spec), launch);
  argv.insert(argv.end(), {launch.trainer.string(), "--spec", (launch.run_dir / "spec.yaml").string(), "--run-dir",
                           launch.run_dir.string(), "--phase", launch.phase});
  if (launch.round > 0) argv.insert(argv.end(), {"--round", std::to_string(launch.round)});
  if (!launch.coordinator.empty()) {
    argv.insert(argv.end(), {"--coordinator", launch.coordinator, "--run-id", launch.run_id, "--attempt",
                             std::to_string(launch.attempt)});
  }
  command.env.emplace_back("OMP_NUM_THREADS", std::to_string(ThreadsPerRank(spec, launch.cores)));
  // By default a thread that waits for the others of its rank spins for milliseconds, and takes the core from whoever
  // it waits for where anything else runs on the machine: steps were seen to take forty times as long. Where nothing
  // else does, a thread that falls asleep between two operations costs a sixth of a small network's step.
  command.env.emplace_back("GOMP_SPINCOUNT", launch.spin_count);
  if (launch.as_root) {
    command.env.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
    command.env.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  return command;
}

std::string ToShell(const LaunchCommand& command) {
  std::string line;
  for (const auto& [name, value] : command.env) line += name + "=" + Quoted(value) + " ";
  for (const std::string& word : command.argv) line += Quoted(word) + " ";
  if (!line.empty()) line.pop_back();
  return line;
}

}  // namespace ferment
