// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch_planner.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "common/base/environment_names.h"
#include "common/config/launch_command.h"
#include "common/config/run_layout.h"
#include "common/rpc/listen_address.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {
namespace {

/// A certificate has no name for "every address of this machine".
std::string AddressForTrainers(const std::string& served, bool here) {
  const auto address = rpc::ParseListenAddress(served);
  if (!address || (address->host != "0.0.0.0" && address->host != "::")) return served;
  char host[256] = {};
  const bool named = !here && gethostname(host, sizeof host - 1) == 0;
  return (named ? host : std::string("localhost")) + ":" + std::to_string(address->port);
}

/// A job of a cluster begins in another folder than this process.
std::filesystem::path FromAnyFolder(const std::filesystem::path& program) {
  return program.has_parent_path() ? std::filesystem::absolute(program) : program;
}

/// Also where there are none: whatever the coordinator found in its own environment is not the trainers'.
void AddTrainerCredentials(const CoordinatorConfig& config, LaunchCommand& command) {
  for (const char* name : environment::kCredentials) {
    command.env.emplace_back(name,
                             std::string_view(name) == environment::kTlsDir ? config.trainer_tls_dir.string() : "");
  }
}

}  // namespace

LaunchPlanner MakeLaunchPlanner(const CoordinatorConfig& config, const std::string& address) {
  return [=](const RunSpec& spec, const Run& run, const Job& job) {
    TrainerLaunch launch = LaunchOnThisMachine();
    const std::uint32_t ranks = std::max(1U, spec.resources().ranks());
    const bool here = spec.resources().launcher() != "slurm";
    // A job of a cluster gets a core for each thread.
    if (!here) launch.cores = ranks * std::max(1U, spec.resources().threads_per_rank());
    launch.mpirun = FromAnyFolder(config.mpirun);
    launch.trainer = FromAnyFolder(config.trainer);
    launch.run_dir = run.run_dir;
    launch.phase = std::string(PhaseName(job.plan.phase));
    launch.round = job.plan.round;
    launch.coordinator = config.advertise.empty() ? AddressForTrainers(address, here) : config.advertise;
    launch.run_id = run.run_id;
    launch.attempt = job.attempt.number;
    LaunchCommand command = MakeLaunchCommand(spec, launch);
    AddTrainerCredentials(config, command);
    return LaunchRequest{.key = {},
                         .argv = std::move(command.argv),
                         .rank_program = launch.trainer.string(),
                         .env = std::move(command.env),
                         .log_file = RunLayout(run.run_dir).Log(job.plan.job_id),
                         .run_dir = run.run_dir,
                         .ranks = ranks,
                         .threads_per_rank = ThreadsPerRank(spec, launch.cores),
                         .gpus = spec.resources().device() == "cuda"};
  };
}

}  // namespace ferment::coordinator
