// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/local_launcher.h"

#include <signal.h>
#include <unistd.h>

#include <deque>
#include <map>

#include "common/base/logging.h"
#include "common/config/launch_command.h"
#include "common/config/run_layout.h"
#include "common/event/child_process.h"
#include "common/event/process_record.h"
#include "common/io/folder_claim.h"

namespace ferment::coordinator {
namespace {

using event::ChildProcess;
using event::ProcessRecord;

constexpr char kRole[] = "trainer";
constexpr std::size_t kEndsKept = 1'000;

/// A start in our charge: our child, or a process that outlived the coordinator that started it.
struct Start {
  ProcessRecord record;
  std::optional<ChildProcess> child;
  LaunchState state{LaunchState::Kind::kRunning, 0};
};

std::string NameOf(const LaunchKey& key) {
  return OwnerName(key.run_id, key.submitted_ms) + "/" + key.job_id + "/" + std::to_string(key.attempt);
}

std::filesystem::path RecordsOf(const std::filesystem::path& run_dir) { return RunLayout(run_dir).Processes(); }

Status CheckProgram(const std::string& program, const std::string& advice) {
  if (event::FindProgram(program)) return {};
  return NotFoundError("a program is missing: program=" + program + "; " + advice)
      .WithExitCode(exit_code::kMissingService);
}

void SayIfRoot(const LaunchRequest& request) {
  for (const auto& [name, value] : request.env) {
    if (name == "OMPI_ALLOW_RUN_AS_ROOT") {
      LogInfo("mpirun.as_root", {{"job", request.key.job_id}, {"set", name + " and " + name + "_CONFIRM"}});
    }
  }
}

class LocalLauncher final : public Launcher {
 public:
  Status Launch(const LaunchRequest& request) override {
    if (PollProcess(request.key, request.run_dir).kind != LaunchState::Kind::kUnknown) return {};
    FERMENT_RETURN_IF_ERROR(CheckProgram(
        request.argv.at(0), "install Open MPI (Debian: apt-get install openmpi-bin), or give --mpirun PATH"));
    FERMENT_RETURN_IF_ERROR(CheckProgram(request.rank_program, "give ferment-coordinator --trainer PATH"));
    SayIfRoot(request);
    auto child = ChildProcess::Start({.argv = request.argv, .env = request.env, .output = request.log_file});
    if (!child) return child.error().With("launching " + NameOf(request.key));
    ProcessRecord record{kRole, child->pid(), child->start_time(), request.argv[0], NameOf(request.key)};
    const Status recorded = WriteProcessRecord(RecordsOf(request.run_dir), record);
    if (!recorded.ok()) LogWarning("job.not_recorded", {{"job", record.job}, {"error", recorded.message()}});
    // Said once a coordinator that comes after this one can find it.
    LogInfo("job.launched",
            {{"job", record.job}, {"pid", record.pid}, {"command", ToShell({request.argv, request.env})}});
    starts_.insert_or_assign(record.job, Start{record, std::move(*child)});
    return {};
  }

  LaunchState Poll(const LaunchKey& key, const std::filesystem::path& run_dir) override {
    LaunchState state = PollProcess(key, run_dir);
    // Ranks may outlive mpirun by a moment, or by as long as a disk holds them.
    if (state.kind == LaunchState::Kind::kUnknown)
      state.ended_token = io::EndedClaim(RunLayout(run_dir).Job(key.job_id));
    return state;
  }

  Status Signal(const LaunchKey& key, const std::filesystem::path& run_dir, int signal) override {
    if (PollProcess(key, run_dir).kind != LaunchState::Kind::kRunning) {
      return NotFoundError("no such job runs here: job=" + NameOf(key));
    }
    const pid_t pid = Find(key, run_dir)->record.pid;
    if (kill(signal == SIGKILL ? -pid : pid, signal) != 0) return NotFoundError("the job is gone: job=" + NameOf(key));
    return {};
  }

 private:
  LaunchState PollProcess(const LaunchKey& key, const std::filesystem::path& run_dir) {
    Start* start = Find(key, run_dir);
    if (start == nullptr) return {};
    if (start->state.kind != LaunchState::Kind::kRunning) return start->state;
    if (start->child) {
      if (const auto code = start->child->Poll()) start->state = {LaunchState::Kind::kExited, *code};
    } else if (!start->record.Alive()) {
      start->state = {LaunchState::Kind::kUnknown, 0};
    }
    if (start->state.kind == LaunchState::Kind::kRunning) return start->state;
    RemoveProcessRecord(RecordsOf(run_dir), start->record);
    const LaunchState state = start->state;
    NoteEnd(start->record.job);
    return state;
  }

  /// Returns: the start in our charge, after taking over one that an earlier coordinator left running; else nullptr.
  Start* Find(const LaunchKey& key, const std::filesystem::path& run_dir) {
    const std::string job = NameOf(key);
    if (const auto known = starts_.find(job); known != starts_.end()) return &known->second;
    for (ProcessRecord& record : event::ReadProcessRecords(RecordsOf(run_dir))) {
      if (record.role != kRole || record.job != job || !record.Alive()) continue;
      LogInfo("job.adopted", {{"job", job}, {"pid", record.pid}});
      return &starts_.insert_or_assign(job, Start{std::move(record), std::nullopt}).first->second;
    }
    return nullptr;
  }

  /// Whoever watches a start asks several times a second: how one ended that so many have ended after is known by then.
  void NoteEnd(const std::string& job) {
    ended_.push_back(job);
    if (ended_.size() <= kEndsKept) return;
    const auto oldest = starts_.find(ended_.front());
    ended_.pop_front();
    // The platform may have been asked for the same start again.
    if (oldest != starts_.end() && oldest->second.state.kind != LaunchState::Kind::kRunning) starts_.erase(oldest);
  }

  std::map<std::string, Start> starts_;
  /// In the order in which it was seen.
  std::deque<std::string> ended_;
};

}  // namespace

std::unique_ptr<Launcher> MakeLocalLauncher() { return std::make_unique<LocalLauncher>(); }

}  // namespace ferment::coordinator
