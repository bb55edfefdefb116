// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/slurm_launcher.h"

#include <signal.h>

#include <map>

#include "common/base/logging.h"
#include "common/config/slurm_script.h"
#include "common/event/slurm_record.h"
#include "coordinator/launch/slurm_queue.h"

namespace ferment::coordinator {
namespace {

using event::SlurmRecord;
using Begin = SlurmRecord::Begin;
using Kind = LaunchState::Kind;

struct Start {
  explicit Start(const LaunchKey& key, const std::filesystem::path& run_dir)
      : name(event::SlurmName(OwnerName(key.run_id, key.submitted_ms), run_dir, key.job_id, key.attempt)),
        record(run_dir, name) {}

  std::string name;
  SlurmRecord record;
  /// Final.
  std::optional<LaunchState> end;
  /// A list of jobs that is older says nothing about it.
  MonotonicTime submitted = MonotonicTime::min();
  /// Since when Slurm has no living job of it.
  std::optional<MonotonicTime> gone_since;
  /// Not handed over so far; 0: none.
  int signal = 0;
  /// When Slurm last did not take it.
  std::optional<MonotonicTime> refused_at;
  /// As of LaunchState.
  std::string wait;
  /// Told once.
  std::string trouble;

  LaunchState Runs() const { return {Kind::kRunning, 0, false, wait}; }
};

class SlurmLauncher final : public Launcher {
 public:
  SlurmLauncher(const Clock& clock, SlurmLauncherOptions options)
      : clock_(clock), options_(options), queue_(options.deadline) {}

  Status Launch(const LaunchRequest& request) override {
    if (request.run_dir.string().find_first_of("\n\\") != std::string::npos) {
      return InvalidArgumentError("a run folder under Slurm must have no line end and no backslash in its name: path=" +
                                  request.run_dir.string());
    }
    Start& start = StartOf(request.key, request.run_dir);
    FERMENT_ASSIGN_OR_RETURN(const Begin began, start.record.Began());
    FERMENT_ASSIGN_OR_RETURN(const auto number, start.record.Job());
    if (began != Begin::kNot || number) return {};
    // Anew, if it was: a former coordinator had another address.
    FERMENT_RETURN_IF_ERROR(start.record.Want(ScriptOf(request, start)));
    const Status submitted = Submit(start);
    if (submitted.ok()) return {};
    if (!start.end) {
      Tell(start, submitted);
      return {};
    }
    starts_.erase(std::string(start.name));
    return submitted;
  }

  LaunchState Poll(const LaunchKey& key, const std::filesystem::path& run_dir) override {
    Start& start = StartOf(key, run_dir);
    const auto state = Look(start);
    if (!state) {
      Tell(start, state.error());
      return start.Runs();
    }
    if (state->kind == Kind::kRunning) return *state;
    if (start.end) {
      LogInfo("slurm.end", {{"name", start.name},
                            {"exit_code", state->kind == Kind::kExited ? std::to_string(state->exit_code) : "unknown"},
                            {"asked", state->asked}});
    }
    // From here on the files say the same.
    starts_.erase(std::string(start.name));
    return *state;
  }

  Status Signal(const LaunchKey& key, const std::filesystem::path& run_dir, int signal) override {
    Start& start = StartOf(key, run_dir);
    FERMENT_ASSIGN_OR_RETURN(const bool wanted, start.record.Wanted());
    FERMENT_ASSIGN_OR_RETURN(const auto end, start.record.End());
    if (!wanted || end) {
      const Status gone = NotFoundError("no such job runs: name=" + start.name);
      starts_.erase(std::string(start.name));
      return gone;
    }
    FERMENT_ASSIGN_OR_RETURN(Begin began, start.record.Began());
    if (began == Begin::kNot && signal == SIGUSR1) return NotFoundError("the job has not begun: name=" + start.name);
    if (began == Begin::kNot) {
      FERMENT_RETURN_IF_ERROR(Withdraw(start));
      FERMENT_ASSIGN_OR_RETURN(began, start.record.Began());
    }
    // A job that was withdrawn and stays queued does nothing but take its turn.
    start.signal = began == Begin::kWithdrawn ? SIGKILL : signal;
    HandOver(start);
    return {};
  }

 private:
  struct Listing {
    MonotonicTime begun;
    MonotonicTime ended;
    Result<std::vector<SlurmQueueJob>> jobs;
  };

  Start& StartOf(const LaunchKey& key, const std::filesystem::path& run_dir) {
    Start start(key, run_dir);
    const std::string name = start.name;
    return starts_.try_emplace(name, std::move(start)).first->second;
  }

  std::string ScriptOf(const LaunchRequest& request, const Start& start) const {
    return SlurmScript({.name = start.name,
                        .command = {request.argv, request.env},
                        .ranks = request.ranks,
                        .threads_per_rank = request.threads_per_rank,
                        .gpus = request.gpus,
                        .run_dir = request.run_dir,
                        .log_file = request.log_file,
                        .record = start.record.stem(),
                        .least_run = options_.least_run});
  }

  LaunchState Ended(Start& start, LaunchState state) {
    start.end = state;
    return state;
  }

  /// What the files say comes first: it is there as soon as the job is over, and stays.
  Result<LaunchState> Look(Start& start) {
    FERMENT_ASSIGN_OR_RETURN(const auto end, start.record.End());
    if (end && end->lost) return Ended(start, {Kind::kUnknown, 0});
    if (end) return Ended(start, {Kind::kExited, end->exit_code, end->asked});
    FERMENT_ASSIGN_OR_RETURN(const Begin began, start.record.Began());
    if (began == Begin::kWithdrawn) {
      HandOver(start);
      return Ended(start, {Kind::kExited, exit_code::kTerminated});
    }
    if (began == Begin::kNot) {
      FERMENT_ASSIGN_OR_RETURN(const bool wanted, start.record.Wanted());
      if (!wanted) return LaunchState{};
    }
    HandOver(start);
    const Listing& listing = List(options_.interval);
    if (!listing.jobs) return Fail(listing.jobs.error());
    if (listing.begun < start.submitted) return start.Runs();
    start.trouble.clear();
    FERMENT_ASSIGN_OR_RETURN(const std::string number, start.record.BegunBy());
    return Judge(start, began, FindSlurmJob(*listing.jobs, start.name, number), listing.begun);
  }

  /// `job`: the living one of its name; where none lives, one that has ended; nullptr where Slurm knows none.
  Result<LaunchState> Judge(Start& start, Begin began, const SlurmQueueJob* job, MonotonicTime asked_at) {
    if (job != nullptr) FERMENT_RETURN_IF_ERROR(NoteJob(start, job->number));
    // Of one that is being cleared away no rank is expected to live, however long that takes.
    const bool cleared = job != nullptr && began == Begin::kBegun && job->state == "COMPLETING";
    if (job != nullptr && job->Lives() && !cleared) {
      start.gone_since.reset();
      const bool pending = began == Begin::kNot && job->state == "PENDING";
      const std::string wait = pending ? "Slurm job " + job->number + " waits: " + job->reason : "";
      if (wait != start.wait && pending) {
        LogInfo("slurm.pending", {{"name", start.name}, {"slurm_job", job->number}, {"reason", job->reason}});
      }
      start.wait = wait;
      return start.Runs();
    }
    if (job == nullptr && began == Begin::kNot) {
      FERMENT_ASSIGN_OR_RETURN(const auto number, start.record.Job());
      if (!number) return Resubmit(start);
    }
    if (!start.gone_since) start.gone_since = clock_.Now();
    if (asked_at - *start.gone_since < options_.file_patience) return start.Runs();
    LogWarning("slurm.no_word", {{"name", start.name},
                                 {"slurm_job", job == nullptr ? "forgotten" : job->number},
                                 {"state", job == nullptr ? "unknown" : job->state},
                                 {"begun", began == Begin::kBegun}});
    if (began == Begin::kNot) {
      // Only where no script can begin it from now on; one that just did is seen with the next look.
      FERMENT_ASSIGN_OR_RETURN(const bool withdrawn, start.record.Withdraw());
      if (!withdrawn) return start.Runs();
      return Ended(start, {Kind::kExited, job == nullptr ? exit_code::kTerminated : job->UnbegunCode()});
    }
    FERMENT_ASSIGN_OR_RETURN(const bool lost, start.record.NoteLost());
    if (!lost) return start.Runs();
    return Ended(start, {Kind::kUnknown, 0});
  }

  Result<LaunchState> Resubmit(Start& start) {
    const Status submitted = Submit(start);
    if (submitted.ok()) return start.Runs();
    if (!start.end) return Fail(submitted);
    LogError("slurm.refused", {{"name", start.name}, {"error", submitted.message()}});
    return *start.end;
  }

  /// Asks Slurm for the job unless it has one. Errors: final, with `end`, where Slurm refuses it; else to be tried
  /// again.
  Status Submit(Start& start) {
    const Listing& listing = List(std::chrono::milliseconds(0));
    if (!listing.jobs) return Refused(start, listing.jobs.error());
    if (const SlurmQueueJob* job = FindSlurmJob(*listing.jobs, start.name, "")) return NoteJob(start, job->number);
    const auto number = queue_.Submit(start.record.Script(), start.name);
    start.submitted = clock_.Now();
    if (!number) {
      LeaveAloneAfter(number.error());
      return Refused(start, number.error());
    }
    LogInfo("job.launched", {{"name", start.name}, {"slurm_job", *number}, {"script", start.record.Script().string()}});
    return NoteJob(start, *number);
  }

  static Status Refused(Start& start, const Status& why) {
    if (why.exit_code() == exit_code::kMissingService) {
      FERMENT_ASSIGN_OR_RETURN(const bool withdrawn, start.record.Withdraw());
      if (withdrawn) start.end = {Kind::kExited, exit_code::kMissingService};
    }
    return why.With("submitting " + start.name);
  }

  static Status NoteJob(const Start& start, const std::string& number) {
    FERMENT_ASSIGN_OR_RETURN(const auto noted, start.record.Job());
    return noted == number ? Status() : start.record.NoteJob(number);
  }

  /// Returns: what Slurm answered, at most `age` ago. One that does not answer is left alone for an interval.
  const Listing& List(std::chrono::milliseconds age) {
    const MonotonicTime now = clock_.Now();
    const auto keeps = listing_ && !listing_->jobs ? options_.interval : age;
    if (listing_ && now - listing_->ended < keeps) return *listing_;
    auto jobs = queue_.List();
    listing_.emplace(Listing{now, clock_.Now(), std::move(jobs)});
    return *listing_;
  }

  /// One that did not answer one of its programs is asked by none for an interval.
  void LeaveAloneAfter(const Status& failure) {
    if (failure.code() != StatusCode::kUnavailable) return;
    const MonotonicTime now = clock_.Now();
    listing_.emplace(Listing{now, now, Fail(failure)});
  }
  bool IsLeftAlone() const { return listing_ && !listing_->jobs && clock_.Now() - listing_->ended < options_.interval; }

  Status Withdraw(const Start& start) {
    const auto withdrawn = start.record.Withdraw();
    return withdrawn ? Status() : withdrawn.error();
  }

  void HandOver(Start& start) {
    if (start.signal == 0 || IsLeftAlone()) return;
    if (start.refused_at && clock_.Now() - *start.refused_at < options_.interval) return;
    const bool ends = start.signal == SIGTERM || start.signal == SIGKILL;
    const Status given = ends ? queue_.Cancel(start.name) : queue_.Signal(start.name, start.signal);
    start.refused_at.reset();
    if (given.ok()) {
      start.signal = 0;
      return;
    }
    start.refused_at = clock_.Now();
    LeaveAloneAfter(given);
    Tell(start, given);
  }

  static void Tell(Start& start, const Status& trouble) {
    const std::string text(trouble.message());
    if (start.trouble == text) return;
    start.trouble = text;
    LogWarning("slurm.trouble", {{"name", start.name}, {"error", text}, {"next", "asked again"}});
  }

  const Clock& clock_;
  const SlurmLauncherOptions options_;
  const SlurmQueue queue_;
  std::map<std::string, Start> starts_;
  std::optional<Listing> listing_;
};

}  // namespace

std::unique_ptr<Launcher> MakeSlurmLauncher(const Clock& clock, SlurmLauncherOptions options) {
  return std::make_unique<SlurmLauncher>(clock, options);
}

}  // namespace ferment::coordinator
