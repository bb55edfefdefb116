// SPDX-License-Identifier: Apache-2.0
#include "cli/coordinator_client.h"

#include <grpcpp/grpcpp.h>

#include "common/base/backoff.h"
#include "common/base/logging.h"
#include "common/base/unique_name.h"
#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_status.h"

namespace ferment::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A stream is opened anew after this long, so that one that hangs does not hang forever.
constexpr auto kStreamDeadline = std::chrono::minutes(10);

bool MayReconnect(const Status& status) {
  return status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kDeadlineExceeded;
}

/// Opens a stream again and again: `attempt` returns how it ended and says through `progressed` whether it had brought
/// anything, which starts the patience anew: `outage` from then on.
Status WithReconnects(milliseconds patience, milliseconds outage, const std::stop_token& stop,
                      const std::function<grpc::Status(grpc::ClientContext&, bool& progressed)>& attempt) {
  auto give_up = steady_clock::now() + patience;
  Backoff backoff(milliseconds(50), milliseconds(1'000), static_cast<std::uint64_t>(getpid()));
  for (;;) {
    if (stop.stop_requested()) return CancelledError("asked to stop");
    bool progressed = false;
    Status status = rpc::FromGrpc(rpc::CallOnce(
        kStreamDeadline, stop, [&](grpc::ClientContext& context) { return attempt(context, progressed); }));
    if (progressed) {
      give_up = steady_clock::now() + outage;
      backoff.Reset();
    }
    if (status.ok() || !MayReconnect(status) || steady_clock::now() >= give_up) return status;
    Mutex mutex;
    CondVar wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, backoff.Next(), [] { return false; });
  }
}

}  // namespace

CoordinatorClient::CoordinatorClient(const std::string& address, milliseconds patience, std::stop_token stop)
    : CoordinatorClient(address, rpc::OpenChannel(address), patience, std::move(stop)) {}

Result<CoordinatorClient> CoordinatorClient::Connect(const std::string& address,
                                                     const rpc::CredentialPaths& credentials, milliseconds patience) {
  FERMENT_ASSIGN_OR_RETURN(auto channel, rpc::OpenChannel(address, credentials));
  return CoordinatorClient(address, std::move(channel), patience, {});
}

CoordinatorClient::CoordinatorClient(const std::string& address, std::shared_ptr<grpc::Channel> channel,
                                     milliseconds patience, std::stop_token stop)
    : channel_(std::move(channel)),
      stub_(v1::RunService::NewStub(channel_)),
      context_("asking the coordinator at " + address),
      patience_(patience),
      stop_(std::move(stop)) {}

Result<std::string> CoordinatorClient::Submit(const v1::SubmitRunRequest& request) {
  const auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::SubmitRun, request, {.retry_for = patience_, .stop = stop_});
  if (!response) return Fail(response.error().With(context_));
  return response->run_id();
}

Result<std::string> CoordinatorClient::SubmitOrReopen(v1::SubmitRunRequest request) {
  request.set_request_id("run:" + request.run_dir());
  FERMENT_ASSIGN_OR_RETURN(const std::string run_id, Submit(request));
  FERMENT_ASSIGN_OR_RETURN(v1::RunStatus run, Get(run_id));
  if (run.ending()) {
    // What stopped it is no news to who asks for it again.
    FERMENT_ASSIGN_OR_RETURN(run, Watch(run_id, [](const v1::RunStatus&) {}));
  }
  if (IsUnfinished(run) && request.priority() != 0 && request.priority() != run.priority()) {
    v1::UpdateRunRequest update;
    update.set_run_id(run_id);
    update.set_priority(request.priority());
    FERMENT_RETURN_IF_ERROR(Update(std::move(update)));
  }
  if (IsUnfinished(run) || run.state() == v1::RUN_STATE_SUCCEEDED) return run_id;
  LogWarning("run.reopened", {{"run", run_id}, {"had_ended_by", run.failure()}});
  request.set_request_id(request.request_id() + ":" + NewUniqueName());
  request.set_new_folder(false);  // it has just been taken there
  return Submit(request);
}

Result<v1::RunStatus> CoordinatorClient::Get(const std::string& run_id) {
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  const auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::GetRun, request, {.retry_for = patience_, .stop = stop_});
  if (!response) return Fail(response.error().With(context_));
  return response->run();
}

Result<v1::ListRunsResponse> CoordinatorClient::List(const std::string& page_token) {
  v1::ListRunsRequest request;
  request.set_page_token(page_token);
  auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::ListRuns, request, {.retry_for = patience_, .stop = stop_});
  if (!response) return Fail(response.error().With(context_));
  return response;
}

Status CoordinatorClient::Cancel(const std::string& run_id) {
  v1::CancelRunRequest request;
  request.set_request_id("cancel-" + run_id + ":" + NewUniqueName());
  request.set_run_id(run_id);
  const auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::CancelRun, request, {.retry_for = patience_, .stop = stop_});
  return response ? Status() : response.error().With(context_);
}

Status CoordinatorClient::Update(v1::UpdateRunRequest request) {
  request.set_request_id("update-" + request.run_id() + ":" + NewUniqueName());
  const auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::UpdateRun, request, {.retry_for = patience_, .stop = stop_});
  return response ? Status() : response.error().With(context_);
}

Result<std::string> CoordinatorClient::RollBackTeacher(const std::string& run_id, const std::string& reason) {
  v1::RollBackTeacherRequest request;
  request.set_request_id("rollback-" + run_id + ":" + NewUniqueName());
  request.set_run_id(run_id);
  request.set_reason(reason);
  const auto response =
      rpc::CallUnary(*stub_, &v1::RunService::Stub::RollBackTeacher, request, {.retry_for = patience_, .stop = stop_});
  if (!response) return Fail(response.error().With(context_));
  return response->job_id();
}

Result<v1::RunStatus> CoordinatorClient::Watch(const std::string& run_id,
                                               const std::function<void(const v1::RunStatus&)>& show,
                                               std::optional<milliseconds> outage) {
  v1::WatchRunRequest request;
  request.set_run_id(run_id);
  v1::RunStatus last;
  const auto attempt = [&](grpc::ClientContext& context, bool& progressed) {
    const auto reader = stub_->WatchRun(&context, request);
    v1::WatchRunResponse response;
    while (reader->Read(&response)) {
      progressed = true;
      last = response.run();
      show(last);
    }
    const grpc::Status end = reader->Finish();
    if (!end.ok() || !IsUnfinished(last)) return end;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the coordinator ended the stream before the run");
  };
  const Status status = WithReconnects(patience_, outage.value_or(patience_), stop_, attempt);
  if (!status.ok()) return Fail(status.With(context_));
  return last;
}

Status CoordinatorClient::ReadLog(const std::string& run_id, const std::string& job_id, bool follow,
                                  const std::function<void(const std::string&)>& show) {
  v1::ReadLogRequest request;
  request.set_run_id(run_id);
  request.set_job_id(job_id);
  request.set_follow(follow);
  return WithReconnects(patience_, patience_, stop_, [&](grpc::ClientContext& context, bool& progressed) {
    const auto reader = stub_->ReadLog(&context, request);
    v1::ReadLogResponse response;
    while (reader->Read(&response)) {
      progressed = true;
      show(response.text());
      request.set_offset(response.next_offset());
    }
    return reader->Finish();
  });
}

bool IsUnfinished(const v1::RunStatus& run) {
  return run.state() == v1::RUN_STATE_RUNNING || run.state() == v1::RUN_STATE_UNSPECIFIED;
}

int ExitCodeOf(const v1::RunStatus& run) {
  if (run.state() == v1::RUN_STATE_SUCCEEDED) return exit_code::kOk;
  if (run.exit_code() != 0) return run.exit_code();
  return run.state() == v1::RUN_STATE_CANCELLED ? exit_code::kTerminated : exit_code::kBug;
}

RunWatcher::RunWatcher(const std::string& address, Begin begin, milliseconds patience) {
  thread_ = std::jthread([this, address, begin = std::move(begin), patience](const std::stop_token& stop) {
    CoordinatorClient client(address, patience, stop);
    const auto last = BeginAndWatch(client, begin);
    const MutexLock lock(mutex_);
    update_.end = last ? Status() : last.error();
    changed_.notify_all();
  });
}

Result<v1::RunStatus> RunWatcher::BeginAndWatch(CoordinatorClient& client, const Begin& begin) {
  FERMENT_ASSIGN_OR_RETURN(const std::string run_id, begin(client));
  return client.Watch(run_id, [this](const v1::RunStatus& run) {
    const MutexLock lock(mutex_);
    update_.run = run;
    changed_.notify_all();
  });
}

RunWatcher::Update RunWatcher::Next(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] { return update_.run.has_value() || update_.end.has_value(); });
  Update update = update_;
  update_.run.reset();
  return update;
}

}  // namespace ferment::cli
