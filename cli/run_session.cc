// SPDX-License-Identifier: Apache-2.0
#include "cli/run_session.h"

#include <signal.h>

#include <iostream>

#include "cli/ablation_table.h"
#include "common/base/logging.h"
#include "common/base/usable_cores.h"
#include "common/event/process_record.h"
#include "common/event/slurm_record.h"
#include "common/report/run_report.h"
#include "common/rpc/outage_patience.h"

namespace ferment::cli {
namespace {

using std::chrono::milliseconds;

// A coordinator that was killed is back in well under a second; a machine that swaps takes longer.
constexpr milliseconds kPatience{60'000};
static_assert(kPatience < rpc::kOutagePatience, "a run that ends and is forgotten meanwhile would be submitted twice");
constexpr milliseconds kTick{100};

/// Returns: the phase that runs now, or "" before the first and after the last.
std::string PhaseOf(const v1::RunStatus& run) {
  for (const v1::JobStatus& job : run.jobs()) {
    if (job.state() == v1::JOB_STATE_RUNNING) return job.job_id();
  }
  return "";
}

ProgressStyle StyleOf(const RunOptions& options) {
  ProgressStyle style = StyleOfTerminal(options.json);
  if (options.quiet) style.mode = ProgressMode::kQuiet;
  return style;
}

class RunSession {
 public:
  RunSession(const RunOptions& options, Interruptions& interruptions)
      : options_(options), interruptions_(interruptions), bar_(std::cout, StyleOf(options), SystemClock()) {}

  Result<int> Run() {
    FERMENT_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Open(options_.run_dir));
    FERMENT_RETURN_IF_ERROR(folder.CheckNoCoordinatorRuns());
    const RunSpec spec = WithRenderedData(options_.spec, folder.layout());
    const Status prepared = Prepare(folder, spec);
    if (interruptions_.count > 0) return Stopped();
    FERMENT_RETURN_IF_ERROR(prepared);
    Fleet fleet(folder.layout(), FleetConfigFor(spec), SystemClock(),
                [this](const std::string& text) { bar_.Note(text); });
    const auto end = RunWith(fleet, spec, folder.layout());
    bar_.Finish();
    if (interruptions_.count > 0) return LeaveInterrupted(fleet);
    fleet.Drain([this] { return interruptions_.count > 1; });
    if (!end) return Fail(end.error());
    return Conclude(*end, folder.layout());
  }

 private:
  /// Makes all ready for processes to be started.
  Status Prepare(RunFolder& folder, const RunSpec& spec) {
    const RunLayout& layout = folder.layout();
    const std::stop_token leave = interruptions_.leave.get_token();
    FERMENT_ASSIGN_OR_RETURN(const int orphans,
                             event::EndOrphans(layout.Processes(), interruptions_.hurry.get_token()));
    if (orphans > 0) bar_.Note("ended " + std::to_string(orphans) + " processes that an earlier start had left");
    if (options_.fresh) {
      // Before anything is deleted for a run that cannot begin.
      FERMENT_RETURN_IF_ERROR(CheckDataExists(options_.spec, leave));
      FERMENT_RETURN_IF_ERROR(CheckNoSlurmJob(layout));
      FERMENT_RETURN_IF_ERROR(folder.DeleteRun());
    }
    FERMENT_RETURN_IF_ERROR(KeepSpec(layout, spec));
    FERMENT_RETURN_IF_ERROR(RenderData(options_.spec, layout, leave));
    return CheckDataExists(spec, leave);
  }

  /// A coordinator goes on with the jobs of its store; with the store goes what is known of them.
  static Status CheckNoSlurmJob(const RunLayout& layout) {
    const auto names = event::UnfinishedSlurmStarts(layout.root());
    if (names.empty()) return {};
    const std::string& name = names.front();
    return AbortedError("a Slurm job of this folder may still run: path=" + layout.root().string() + " job=" + name +
                        "; end it (`scancel --name=" + name + "`), and once `squeue` does not show it, remove " +
                        event::SlurmRecord(layout.root(), name).Script().string() + ", then give --fresh again")
        .WithExitCode(exit_code::kFenced);
  }

  FleetConfig FleetConfigFor(const RunSpec& spec) const {
    const std::uint32_t cores = UsableCores();
    const std::uint32_t labelers = std::max(1U, spec.labeling().labelers());
    return {.programs = options_.programs,
            .labelers = labelers,
            .threads = std::max(1U, cores / labelers),
            .labeler_device = LabelsOnGpus(spec) ? "cuda" : "cpu"};
  }

  Result<v1::RunStatus> RunWith(Fleet& fleet, const RunSpec& spec, const RunLayout& layout) {
    FERMENT_RETURN_IF_ERROR(fleet.Start([this] { return interruptions_.count > 0; }));
    bar_.Note("run folder " + layout.root().string() + ", status page http://" + fleet.admin_address() + "/");
    if (spec.resources().launcher() == "slurm") {
      bar_.Note("trainers of Slurm's nodes reach " + fleet.address() +
                " where they are this machine; for others use ferment-coordinator and `ferment submit`");
    }
    RunWatcher watcher(
        fleet.address(), [&](CoordinatorClient& client) { return SubmitOrContinue(client, spec, layout); }, kPatience);
    v1::RunStatus run;
    while (interruptions_.count == 0) {
      const RunWatcher::Update update = watcher.Next(kTick);
      if (update.run) {
        run = *update.run;
        bar_.Show(run);
      }
      if (update.end) {
        if (!update.end->ok()) return Fail(update.end->With("watching the run"));
        return run;
      }
      FERMENT_RETURN_IF_ERROR(fleet.Tend(PhaseOf(run)));
    }
    return Fail(CancelledError("interrupted"));
  }

  static Result<std::string> SubmitOrContinue(CoordinatorClient& client, const RunSpec& spec, const RunLayout& layout) {
    v1::SubmitRunRequest request;
    request.set_run_dir(layout.root().string());
    *request.mutable_spec() = spec;
    return client.SubmitOrReopen(std::move(request));
  }

  int LeaveInterrupted(Fleet& fleet) {
    if (interruptions_.count == 1) {
      bar_.Note("stopping: leases go back, trainers save a checkpoint; Ctrl-C again ends at once");
      fleet.Drain([this] { return interruptions_.count > 1; });
    }
    fleet.Kill();
    return Stopped();
  }

  int Stopped() {
    bar_.Note("stopped; the same command goes on from here");
    return interruptions_.first == SIGINT ? exit_code::kInterrupted : exit_code::kTerminated;
  }

  int Conclude(const v1::RunStatus& run, const RunLayout& layout) {
    // A run that was refused its folder has nothing to say there.
    const Status written = ExitCodeOf(run) == exit_code::kFenced ? Status() : report::WriteReport(layout.root());
    if (!written.ok()) std::cerr << "ferment: the report could not be written: " << written.message() << "\n";
    if (run.state() != v1::RUN_STATE_SUCCEEDED) {
      std::cerr << "ferment: the run " << (run.state() == v1::RUN_STATE_CANCELLED ? "was cancelled" : "failed")
                << (run.failure().empty() ? "" : ": " + run.failure()) << "\n";
      return ExitCodeOf(run);
    }
    if (options_.quiet) return exit_code::kOk;
    const auto report = ReadReport(layout.ReportJson());
    if (options_.json) {
      std::cout << Json{{"event", "finished"}, {"exit_code", 0}, {"report", layout.ReportJson().string()}}.dump()
                << "\n";
    } else {
      if (report) std::cout << SummaryText(*report);
      std::cout << "\nReport: " << layout.ReportPage().string() << "\n";
    }
    return exit_code::kOk;
  }

  const RunOptions& options_;
  Interruptions& interruptions_;
  ProgressBar bar_;
};

}  // namespace

int RunToTheEnd(const RunOptions& options, Interruptions& interruptions) {
  RunSession session(options, interruptions);
  const auto code = session.Run();
  if (code) return *code;
  std::cerr << "ferment: " << code.error().message() << std::endl;
  return ProcessExitCode(code.error());
}

}  // namespace ferment::cli
