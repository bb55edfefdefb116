// SPDX-License-Identifier: Apache-2.0
//
// What the commands ask of a coordinator, with patience for one that is starting or restarting.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/rpc/credentials/credential_paths.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::cli {

/// Thread: any.
class CoordinatorClient {
 public:
  /// `patience`: how long a call is tried again while nobody answers. `stop` cancels whatever is under way.
  CoordinatorClient(const std::string& address, std::chrono::milliseconds patience, std::stop_token stop = {});
  /// The same with credentials. Errors: those of rpc::CheckCredentials.
  static Result<CoordinatorClient> Connect(const std::string& address, const rpc::CredentialPaths& credentials,
                                           std::chrono::milliseconds patience);

  /// Returns: the run's id. Errors: of SubmitRun.
  Result<std::string> Submit(const v1::SubmitRunRequest& request);
  /// Submits under a request id made from the folder, so that a second command finds the same run; one that had failed
  /// or was cancelled is submitted again under a new id, once it has ended, which opens it anew from its last finished
  /// phase; one that goes on gets the request's priority. Errors: as Submit.
  Result<std::string> SubmitOrReopen(v1::SubmitRunRequest request);
  Result<v1::RunStatus> Get(const std::string& run_id);
  /// Returns: newest first, at most a page.
  Result<v1::ListRunsResponse> List(const std::string& page_token = "");
  /// Each call is a request of its own: a run that was opened again since is cancelled again.
  Status Cancel(const std::string& run_id);
  /// `request`: without its request_id.
  Status Update(v1::UpdateRunRequest request);
  /// Returns: the label job whose teacher was stopped.
  Result<std::string> RollBackTeacher(const std::string& run_id, const std::string& reason);
  /// Hands each state to `show` until the run has ended; reconnects with the client's patience, and once it has seen
  /// the run with that of `outage`, if there is one. Returns: the last state.
  Result<v1::RunStatus> Watch(const std::string& run_id, const std::function<void(const v1::RunStatus&)>& show,
                              std::optional<std::chrono::milliseconds> outage = {});
  /// Hands each piece of the job's log to `show`.
  Status ReadLog(const std::string& run_id, const std::string& job_id, bool follow,
                 const std::function<void(const std::string&)>& show);

 private:
  CoordinatorClient(const std::string& address, std::shared_ptr<grpc::Channel> channel,
                    std::chrono::milliseconds patience, std::stop_token stop);

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RunService::Stub> stub_;
  std::string context_;
  std::chrono::milliseconds patience_;
  std::stop_token stop_;
};

/// Returns: whether the run goes on.
bool IsUnfinished(const v1::RunStatus& run);
/// Returns: the exit code that tells a program how the run ended. Requires: the run has ended.
int ExitCodeOf(const v1::RunStatus& run);

/// Submits or finds a run, by whatever `begin` does, then watches it and keeps its latest state, on a thread of its
/// own: the caller stays free to restart a coordinator that dies meanwhile.
///
/// Thread: any; guarded.
class RunWatcher {
 public:
  /// Returns: the run's id.
  using Begin = std::function<Result<std::string>(CoordinatorClient&)>;
  RunWatcher(const std::string& address, Begin begin, std::chrono::milliseconds patience);

  struct Update {
    /// The latest state, if it is new since the last call.
    std::optional<v1::RunStatus> run;
    /// Set once the watch is over.
    std::optional<Status> end;
  };
  /// Waits at most `timeout` for something new.
  Update Next(std::chrono::milliseconds timeout);

 private:
  Result<v1::RunStatus> BeginAndWatch(CoordinatorClient& client, const Begin& begin);

  // Under mutex_.
  Mutex mutex_;
  CondVar changed_;
  Update update_ FERMENT_GUARDED_BY(mutex_);
  // Joins first.
  std::jthread thread_;
};

}  // namespace ferment::cli
