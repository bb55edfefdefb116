// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>

#include "common/base/core_file.h"
#include "common/base/inherited_state.h"
#include "common/base/logging.h"
#include "common/base/whole_number.h"
#include "common/config/environment_check.h"
#include "common/config/flag_errors.h"
#include "common/nn/cuda_device.h"
#include "common/nn/torch_guard.h"
#include "worker/collective/mpi_collective.h"
#include "worker/collective/rank_agreement.h"
#include "worker/collective/thread_collective.h"
#include "worker/cuda_half.h"
#include "worker/device_choice.h"
#include "worker/grpc_run_client.h"
#include "worker/offline_run_client.h"
#include "worker/rank_discovery.h"
#include "worker/trace/trace_file.h"
#include "worker/trace/traced_collective.h"
#include "worker/train/compute_threads.h"
#include "worker/train/trainer_loop.h"
#include "worker/train/trainer_signals.h"
#include "worker/trainer_config.h"
#include "worker/watch/rank_keeper.h"
#include "worker/watch/rank_watch.h"
#include "worker/watch/watched_collective.h"

namespace ferment::worker {
namespace {

/// A rank that waits longer than this for the others takes the job for hung.
constexpr std::chrono::minutes kCollectiveDeadline(5);
/// The watch names who keeps the others waiting before their collective gives up.
constexpr std::chrono::seconds kWatchAhead(5);
/// A rank that has failed waits this long for the others to have failed the same way, before it ends them.
constexpr std::chrono::seconds kFarewellDeadline(15);
/// MPI may notice a lost peer before the watch has named it, which takes a beat, or longer where rank 0 is the lost
/// one.
constexpr std::chrono::seconds kVerdictPatience(8);

/// What a rank has of the others, and of whoever runs the job.
struct Company {
  Collective& world;
  /// A second communicator of the same ranks, on which nothing is ever pending.
  Collective& farewell;
  RunClient& client;
  RankBoard& board;
  /// Null where nobody watches.
  RankWatch* watch = nullptr;
  /// Null where no trace is wanted.
  Trace* trace = nullptr;
};

TrainerArguments ParseTrainerArguments(int argc, char** argv) {
  TrainerConfig config;
  CLI::App app("Trains one phase of a run; start it under mpirun for several ranks.", "ferment-trainer");
  app.set_version_flag("--version", "ferment-trainer " FERMENT_VERSION);
  app.add_option("--spec", config.spec, "the run's spec")->required();
  app.add_option("--run-dir", config.run_dir, "folder of the run: where artefacts are read from and written to")
      ->required();
  app.add_option("--phase", config.phase, "what to train")
      ->required()
      ->check(CLI::IsMember({"teacher", "cotrain", "finetune", "temporal", "evaluate"}));
  app.add_option("--round", config.round, "round of co-training, from 0")->check(WholeNumber(0, 99));
  app.add_option("--coordinator", config.coordinator,
                 "HOST:PORT of the coordinator that runs this job; without it the trainer works alone");
  app.add_option("--run-id", config.run_id, "the run, as the coordinator names it");
  app.add_option("--attempt", config.attempt, "attempt of the job, from 1")->check(WholeNumber(1, UINT32_MAX));
  app.add_option("--set", config.overrides, "KEY=VALUE over the spec's value; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--from-init", config.from_init, "start co-training from fresh networks instead of the teacher phase's");
  StepRecording recording;
  auto* step = app.add_option("--record-step", recording.step, "co-training: write all that this step reads and makes")
                   ->check(WholeNumber(0, 99'999'999));
  auto* folder = app.add_option("--record-dir", recording.folder, "where --record-step writes");
  step->needs(folder);
  folder->needs(step);
  app.add_option("--trace", config.trace,
                 "write a timeline of all ranks to this file when the job ends; chrome://tracing and Perfetto open it");
  app.footer("Signals: USR1 writes a checkpoint; USR2 and TERM write one and end with 143; HUP is ignored.");
  TrainerArguments arguments;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    arguments.exit_code = SayWhyNotParsed(app, error, out, out);
    arguments.text = out.str();
    return arguments;
  }
  if (step->count() > 0) config.recording = recording;
  arguments.config = std::move(config);
  return arguments;
}

std::string EnvironmentVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

std::unique_ptr<RunClient> MakeRunClient(const TrainerConfig& config) {
  const std::string job = JobId(config.phase, config.round);
  const auto run_dir = std::filesystem::absolute(config.run_dir);
  if (config.coordinator.empty()) return MakeOfflineRunClient(run_dir, job, StopSignalled);
  return MakeGrpcRunClient({.coordinator = config.coordinator,
                            .run_id = config.run_id,
                            .job_id = job,
                            .attempt = config.attempt,
                            .run_dir = run_dir,
                            .leaving = StopSignalled});
}

/// What this rank computes on, and the collective that takes buffers there: null where that is `world`.
struct Equipment {
  torch::Device device = torch::kCPU;
  std::unique_ptr<Collective> on_devices;
};

Result<Equipment> Equip(const RunSpec& spec, const RankPlace& place, const Company& company) {
  Collective& world = company.world;
  const std::string& wanted = spec.resources().device();
  if (wanted == "cpu") return Equipment();
  setenv("NCCL_DEBUG", "WARN", /*overwrite=*/0);
  const auto half = OpenCudaHalf();
  using Devices = Result<std::vector<std::string>>;
  const Devices devices = half ? Devices(half->devices) : Devices(Fail(half.error()));
  FERMENT_ASSIGN_OR_RETURN(const DeviceChoice choice, ChooseDevice(wanted, place.local_rank, devices, world));
  if (!choice.cuda) {
    LogInfo("device_chosen", {{"device", "cpu"}, {"why", choice.why}});
    return Equipment();
  }
  const int index = *choice.cuda;
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, nn::UseCudaDevice(index)));
  LogInfo("device_chosen", {{"device", half->devices[static_cast<std::size_t>(index)]}, {"ranks", world.size()}});
  Equipment equipment{torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index)), nullptr};
  if (world.size() > 1) {
    FERMENT_ASSIGN_OR_RETURN(auto on_devices,
                             half->module->make_collective(
                                 world, {.device = index, .deadline = kCollectiveDeadline, .compute_stream = [index] {
                                           return nn::CurrentCudaStream(index);
                                         }}));
    equipment.on_devices = MakeWatchedCollective(std::move(on_devices), company.board);
    if (company.trace != nullptr)
      equipment.on_devices = MakeTracedCollective(std::move(equipment.on_devices), *company.trace);
  }
  return equipment;
}

Status Train(const TrainerConfig& config, const RunSpec& spec, const RankPlace& place, const Company& company) {
  FERMENT_ASSIGN_OR_RETURN(const Equipment equipment, Equip(spec, place, company));
  const RecipeContext context{spec,
                              RunLayout(std::filesystem::absolute(config.run_dir)),
                              config.phase,
                              config.round,
                              equipment.on_devices ? *equipment.on_devices : company.world,
                              equipment.device,
                              config.from_init,
                              config.recording,
                              company.trace};
  FERMENT_ASSIGN_OR_RETURN(const auto recipe, MakeRecipe(context));
  TrainerLoopOptions options{.checkpoint_every = spec.checkpoint().every_steps(),
                             .max_nonfinite = config.phase == "cotrain" ? spec.cotrain().max_nonfinite() : 10};
  options.board = &company.board;
  if (company.trace == nullptr) return TrainerLoop(*recipe, context, company.client, options).Run();

  // Where it cannot be written, that is told before the work and not after it.
  FERMENT_RETURN_IF_ERROR(WriteTraceFile(config.trace, *company.trace, company.world));
  FERMENT_RETURN_IF_ERROR(company.world.Barrier());
  company.trace->StartNow();
  const Status trained = TrainerLoop(*recipe, context, company.client, options).Run();
  // The ranks of a job that failed may not be there to tell their part.
  if (trained.ok() || ProcessExitCode(trained) == exit_code::kTerminated)
    FERMENT_RETURN_IF_ERROR(WriteTraceFile(config.trace, *company.trace, company.world));
  return trained;
}

/// Returns: the spec, and the run token taken, or the failure that all ranks share.
Result<RunSpec> Admit(const TrainerConfig& config, Collective& world, RunClient& client) {
  auto overrides = ParseOverrides(config.overrides);
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, overrides ? Status() : overrides.error()));
  // As many as were started, whatever the spec would have started.
  overrides->push_back({"resources.ranks", std::to_string(world.size())});
  auto loaded = LoadSpec(config.spec, *overrides);
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, loaded ? Status() : loaded.error()));
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, world.rank() == 0 ? client.Acquire() : Status()));
  return std::move(loaded->spec);
}

/// Says why once a job, gives rank 0 the time to report it, and ends the ranks that do not know of it.
void EndInFailure(const Status& status, int code, const Company& company) {
  Collective& world = company.world;
  const bool leads = world.rank() == 0;
  if (company.watch != nullptr && (code == exit_code::kPeerLost || code == exit_code::kHang))
    company.watch->AwaitVerdict(kVerdictPatience);
  if (leads) LogError("job_failed", {{"error", status.ToString()}, {"exit_code", code}});
  if (leads && code != exit_code::kFenced) company.client.ReportFailure(code, status.message());
  if (world.size() == 1 || company.farewell.Barrier().ok()) return;
  if (!leads) LogError("rank_failed_alone", {{"error", status.ToString()}, {"exit_code", code}});
  if (company.watch != nullptr) company.watch->SayFailed(code);
  world.Abort(code);
}

int RunRank(const TrainerConfig& config, const RankPlace& place, const Company& company) {
  LogInfo("rank_found", {{"by", place.source}, {"rank", company.world.rank()}, {"of", company.world.size()}});
  auto spec = Admit(config, company.world, company.client);
  Status status = spec ? Status() : spec.error();
  if (spec) {
    UseComputeThreads(*spec, place.local_size);
    status = Train(config, *spec, place, company);
  }
  company.board.Enter(Activity::kLeaving);
  const int code = status.ok() ? exit_code::kOk : ProcessExitCode(status);
  if (code == exit_code::kTerminated) {
    LogInfo("stopped", {{"why", status.message()}});
  } else if (!status.ok()) {
    EndInFailure(status, code, company);
  }
  return code;
}

void StartLogging(const TrainerConfig& config, int rank) {
  SetUpLogging({.program = "ferment-trainer",
                .level = rank == 0 ? LogLevel::kInfo : LogLevel::kWarning,
                .context = {{"job", JobId(config.phase, config.round)}, {"rank", rank}}});
  if (rank == 0) WarnOfMistypedVariables();
}

std::unique_ptr<RankWatch> StartWatch(const TrainerConfig& config, Collective& world, const RankBoard& board,
                                      RunClient& client) {
  RankWatchOptions options{.limits = {.wait = kCollectiveDeadline - kWatchAhead},
                           .job = JobId(config.phase, config.round)};
  options.tell_idle = [&client](const std::vector<double>& seconds) { client.ReportRanks(seconds); };
  options.report = [&client](int code, const std::string& message) { client.ReportFailure(code, message); };
  return RankWatch::Start(world, board, std::move(options));
}

int RunUnderMpi(const TrainerConfig& config, const RankPlace& place, int argc, char** argv) {
  int level = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  InstallTrainerSignals();
  int code = exit_code::kMissingService;
  RankBoard board;
  std::optional<Trace> trace;
  std::unique_ptr<RunClient> client;
  // Goes on until MPI is left: MPI_Finalize too waits for every rank.
  std::unique_ptr<RankWatch> watch;
  {
    auto plain = MakeMpiCollective(kCollectiveDeadline);
    auto farewell = MakeMpiCollective(kFarewellDeadline, HostMemory::kUnused);
    if (plain && farewell) {
      StartLogging(config, (*plain)->rank());
      auto world = MakeWatchedCollective(*std::move(plain), board);
      if (!config.trace.empty()) world = MakeTracedCollective(std::move(world), trace.emplace());
      client = MakeRunClient(config);
      watch = StartWatch(config, *world, board, *client);
      code = RunRank(config, place, {*world, **farewell, *client, board, watch.get(), trace ? &*trace : nullptr});
    } else {
      LogError("no_communicator", {{"error", (plain ? farewell : plain).error().ToString()}});
    }
  }
  MPI_Finalize();
  return code;
}

int RunAlone(const TrainerConfig& config, const RankPlace& place) {
  InstallTrainerSignals();
  StartLogging(config, 0);
  const auto alone = MakeSingleCollective();
  const auto client = MakeRunClient(config);
  RankBoard board;
  Trace trace;
  return RunRank(config, place,
                 {*alone, *alone, *client, board, /*watch=*/nullptr, config.trace.empty() ? nullptr : &trace});
}

int Main(int argc, char** argv) {
  MendInheritedState();
  LeaveNoCoreFile();
  const TrainerArguments arguments = ParseTrainerArguments(argc, argv);
  if (!arguments.config) {
    std::fputs(arguments.text.c_str(), arguments.exit_code == 0 ? stdout : stderr);
    return arguments.exit_code;
  }
  const auto place = DiscoverRank(EnvironmentVariable);
  if (!place) {
    LogError("rank_not_found", {{"error", place.error().ToString()}});
    return ProcessExitCode(place.error());
  }
  if (!place->mpi) return RunAlone(*arguments.config, *place);
  if (place->size == 1) {
    EndWithLauncher();
  } else {
    StandBehindKeeper(argc, argv, JobId(arguments.config->phase, arguments.config->round), place->rank);
  }
  return RunUnderMpi(*arguments.config, *place, argc, argv);
}

}  // namespace
}  // namespace ferment::worker

int main(int argc, char** argv) { return ferment::worker::Main(argc, argv); }
