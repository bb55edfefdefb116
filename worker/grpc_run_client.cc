// SPDX-License-Identifier: Apache-2.0
#include "worker/grpc_run_client.h"

#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/base/unique_name.h"
#include "common/rpc/patient_call.h"
#include "ferment/v1/trainer_service.grpc.pb.h"

namespace ferment::worker {
namespace {

constexpr std::chrono::seconds kPauseAfterFailure{1};
constexpr std::chrono::milliseconds kLookForSignals{100};

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

struct RunReport {
  JobProgress progress;
  std::vector<double> rank_idle_seconds;
};

template <typename Request>
void FillDistributions(const JobProgress& progress, Request& request) {
  for (const auto& [name, distribution] : progress.distributions) {
    v1::Distribution& proto = (*request.mutable_distributions())[name];
    proto.mutable_counts()->Add(distribution.counts.begin(), distribution.counts.end());
    proto.set_sum(distribution.sum);
  }
}

/// Asks for as long as `patience`. Once an attempt has failed, whoever wants this process to end need not wait.
template <typename Method, typename Request>
auto AskPatiently(const GrpcRunClientOptions& options, v1::TrainerService::Stub& stub, Method method,
                  const Request& request) {
  std::stop_source leaving;
  std::jthread watch;
  rpc::CallOptions calls = rpc::PatientCall(options.coordinator, options.patience, leaving.get_token());
  calls.on_wait = [&, say = std::move(calls.on_wait)](const Status& failure) {
    say(failure);
    watch = std::jthread([&](const std::stop_token& answered) {
      while (!answered.stop_requested() && !options.leaving()) std::this_thread::sleep_for(kLookForSignals);
      if (!answered.stop_requested()) leaving.request_stop();
    });
  };
  auto response = rpc::CallUnary(stub, method, request, calls);
  if (!response && leaving.stop_requested()) {
    return decltype(response)(
        Fail(CancelledError("asked to end while the coordinator did not answer").WithExitCode(exit_code::kTerminated)));
  }
  return response;
}

/// Guarded: what the reporting thread and the loop share is under `mutex_` or atomic.
class GrpcRunClient : public RunClient {
 public:
  GrpcRunClient(GrpcRunClientOptions options, const Result<std::shared_ptr<grpc::Channel>>& channel)
      : options_(std::move(options)),
        no_channel_(channel ? Status() : channel.error()),
        stub_(v1::TrainerService::NewStub(channel ? *channel : rpc::OpenChannel(options_.coordinator))) {}

  Status Acquire() override {
    FERMENT_RETURN_IF_ERROR(no_channel_.With("credentials for " + options_.coordinator));
    v1::AcquireRunTokenRequest request;
    Address(request);
    request.set_attempt(options_.attempt);
    request.set_incarnation(NewUniqueName());
    request.set_host(HostName());
    request.set_pid(getpid());
    request.set_run_dir(options_.run_dir.string());
    auto response = AskPatiently(options_, *stub_, &v1::TrainerService::Stub::AcquireRunToken, request);
    if (!response) return std::move(response).error().With("taking the run token from " + options_.coordinator);
    MutexLock lock(mutex_);
    token_ = response->token();
    reporter_ = std::jthread([this](std::stop_token stop) { SendReports(stop); });
    return Status();
  }

  std::uint64_t token() const override {
    MutexLock lock(mutex_);
    return token_;
  }

  void Report(const JobProgress& progress) override {
    MutexLock lock(mutex_);
    last_.progress = progress;
    told_ = true;
    waiting_ = true;
    changed_.notify_one();
  }

  void ReportRanks(const std::vector<double>& idle_seconds) override {
    MutexLock lock(mutex_);
    last_.rank_idle_seconds = idle_seconds;
    // Before the first step there is nothing to say again.
    if (!std::exchange(told_, false) && last_.progress.total_steps > 0) waiting_ = true;
    changed_.notify_one();
  }

  bool StopRequested() const override { return stop_requested_; }

  Status Fenced() const override {
    return fenced_ ? AbortedError("the run token is another process's: job=" + options_.job_id)
                         .WithExitCode(exit_code::kFenced)
                   : Status();
  }

  Status Complete(const JobResult& result) override {
    StopReports();
    v1::CompleteJobRequest request;
    Address(request);
    request.set_token(token());
    request.set_samples(result.last.samples);
    request.set_cpu_seconds(result.last.cpu_seconds);
    request.set_peak_rss_bytes(result.last.peak_rss_bytes);
    for (const PublishedModel& model : result.models) {
      auto& published = *request.add_models();
      published.set_role(model.role);
      published.set_file(model.file);
      published.set_sha256(model.sha256);
    }
    request.mutable_metrics()->insert(result.last.metrics.begin(), result.last.metrics.end());
    FillDistributions(result.last, request);
    auto response = AskPatiently(options_, *stub_, &v1::TrainerService::Stub::CompleteJob, request);
    return response ? Status() : std::move(response).error().With("completing the job at " + options_.coordinator);
  }

  void ReportFailure(int exit_code, std::string_view message) override {
    StopReports();
    v1::FailJobRequest request;
    Address(request);
    request.set_token(token());
    request.set_exit_code(exit_code);
    request.set_message(std::string(message));
    auto response =
        rpc::CallUnary(*stub_, &v1::TrainerService::Stub::FailJob, request, {.retry_for = std::chrono::seconds(5)});
    if (!response)
      LogWarning("failure_not_reported",
                 {{"coordinator", options_.coordinator}, {"error", response.error().ToString()}});
  }

 private:
  template <typename Request>
  void Address(Request& request) const {
    request.set_run_id(options_.run_id);
    request.set_job_id(options_.job_id);
  }

  /// Whoever comes second does not wait for the first.
  void StopReports() {
    std::jthread reporter;
    {
      MutexLock lock(mutex_);
      reporter.swap(reporter_);
    }
    if (!reporter.joinable()) return;
    reporter.request_stop();
    reporter.join();
  }

  void SendReports(std::stop_token stop) {
    bool answered = true;
    while (!stop.stop_requested()) {
      std::optional<RunReport> report;
      {
        MutexLock lock(mutex_);
        changed_.wait(mutex_, stop, [this] { return waiting_; });
        if (std::exchange(waiting_, false)) report = last_;
      }
      if (!report) continue;
      const Status sent = Send(*report, stop);
      if (answered && !sent.ok() && !stop.stop_requested()) {
        LogWarning("progress_not_reported",
                   {{"coordinator", options_.coordinator},
                    {"error", sent.ToString()},
                    {"next", "training goes on; the newest report is sent until it is heard"}});
      }
      answered = sent.ok();
      if (answered) continue;
      // Perhaps the last for long, as before an evaluation: it goes again, or a newer one.
      MutexLock lock(mutex_);
      waiting_ = true;
      changed_.wait_for(mutex_, stop, kPauseAfterFailure, [] { return false; });
    }
  }

  /// Returns: OK once it was answered, whatever the answer.
  Status Send(const RunReport& report, std::stop_token stop) {
    const JobProgress& progress = report.progress;
    v1::ReportProgressRequest request;
    Address(request);
    request.set_token(token());
    request.set_step(progress.step);
    request.set_total_steps(progress.total_steps);
    request.set_samples(progress.samples);
    request.set_cpu_seconds(progress.cpu_seconds);
    request.set_peak_rss_bytes(progress.peak_rss_bytes);
    request.mutable_metrics()->insert(progress.metrics.begin(), progress.metrics.end());
    FillDistributions(progress, request);
    request.mutable_rank_idle_seconds()->Add(report.rank_idle_seconds.begin(), report.rank_idle_seconds.end());
    auto response =
        rpc::CallUnary(*stub_, &v1::TrainerService::Stub::ReportProgress, request, {.stop = std::move(stop)});
    if (response) {
      if (response->stop()) stop_requested_ = true;
      return {};
    }
    if (response.error().code() != StatusCode::kAborted) return response.error();
    fenced_ = true;
    return {};
  }

  // Constant after construction.
  const GrpcRunClientOptions options_;
  const Status no_channel_;
  const std::unique_ptr<v1::TrainerService::Stub> stub_;
  // Synchronizes itself.
  std::atomic<bool> stop_requested_ = false;
  std::atomic<bool> fenced_ = false;
  // Under mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  std::uint64_t token_ FERMENT_GUARDED_BY(mutex_) = 0;
  RunReport last_ FERMENT_GUARDED_BY(mutex_);
  /// `last_` is to be sent.
  bool waiting_ FERMENT_GUARDED_BY(mutex_) = false;
  /// There was a Report since the last ReportRanks.
  bool told_ FERMENT_GUARDED_BY(mutex_) = false;
  std::jthread reporter_ FERMENT_GUARDED_BY(mutex_);
};

Result<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& coordinator) {
  FERMENT_ASSIGN_OR_RETURN(const auto credentials, rpc::ResolveCredentials(rpc::CredentialFlagsOfEnvironment()));
  return rpc::OpenChannel(coordinator, credentials);
}

}  // namespace

std::unique_ptr<RunClient> MakeGrpcRunClient(GrpcRunClientOptions options) {
  const auto channel = OpenChannel(options.coordinator);
  return std::make_unique<GrpcRunClient>(std::move(options), channel);
}

}  // namespace ferment::worker
