// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_streams.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "common/config/run_layout.h"
#include "common/rpc/grpc_status.h"
#include "coordinator/rpc/run_status.h"
#include "coordinator/rpc/unary_call.h"
#include "coordinator/scheduler/job_log.h"

namespace ferment::coordinator {
namespace {

/// One thing is under way at a time: a look, a read, or a write. Whoever ends it begins the next, and touches nothing
/// of the stream after that.
template <typename Response>
class RunStream : public grpc::ServerWriteReactor<Response> {
 public:
  void OnCancel() final { cancelled_ = true; }
  void OnDone() final { delete this; }

 protected:
  RunStream(StreamParts parts, std::string run_id)
      : place_(parts.places.Take()), parts_(std::move(parts)), run_id_(std::move(run_id)) {}
  virtual void See(const RunNews::View& view) = 0;

  void Begin() {
    if (!place_) return End(place_.error());
    parts_.news.First(run_id_, Looking());
  }
  void LookAgain() { parts_.news.Next(run_id_, Looking()); }
  Status MayGoOn() const { return parts_.may_go_on(); }
  void End(const Status& status = {}) { this->Finish(rpc::ToGrpc(status, AboutRun(run_id_))); }

 private:
  RunNews::Look Looking() {
    return [this](const RunNews::View& view) {
      if (cancelled_) return End();
      if (const Status may = MayGoOn(); !may.ok()) return End(may);
      See(view);
    };
  }

  const Result<StreamPlaces::Place> place_;
  const StreamParts parts_;
  const std::string run_id_;
  std::atomic<bool> cancelled_{false};
};

class Watch final : public RunStream<v1::WatchRunResponse> {
 public:
  Watch(const v1::WatchRunRequest& request, StreamParts parts) : RunStream(std::move(parts), request.run_id()) {
    Begin();
  }

  void OnWriteDone(bool sent) override {
    if (!sent || ended_) return End();
    LookAgain();
  }

 private:
  void See(const RunNews::View& view) override {
    if (!view) return End(view.error());
    const RunView& run = **view;
    ended_ = run.state != RunState::kRunning;
    if (run.revision != revision_) {
      revision_ = run.revision;
      *response_.mutable_run() = ToRunStatus(run);
      return StartWrite(&response_);
    }
    if (ended_) return End();
    LookAgain();
  }

  v1::WatchRunResponse response_;
  std::uint64_t revision_ = 0;
  bool ended_ = false;
};

class LogStream final : public RunStream<v1::ReadLogResponse> {
 public:
  LogStream(const v1::ReadLogRequest& request, StreamParts parts, TaskRunner& files)
      : RunStream(std::move(parts), request.run_id()),
        files_(files),
        job_id_(request.job_id()),
        follow_(request.follow()),
        offset_(request.offset()) {
    Begin();
  }

  void OnWriteDone(bool sent) override {
    if (!sent) return End();
    ReadOn();
  }

 private:
  // The state is taken before the text, so that what was written up to the end is sent.
  void See(const RunNews::View& view) override {
    if (!view) return End(view.error());
    const RunView& run = **view;
    const auto job =
        std::find_if(run.jobs.begin(), run.jobs.end(), [&](const JobView& one) { return one.job_id == job_id_; });
    if (job == run.jobs.end()) {
      return End(NotFoundError("no such job: run=" + run.run_id + " job=" + job_id_));
    }
    file_ = RunLayout(run.run_dir).Log(job_id_);
    complete_ = !follow_ || HasEnded(job->state) || run.state != RunState::kRunning;
    ReadOn();
  }

  void ReadOn() {
    files_.Post([this] {
      // A log that is long enough is read for longer than anybody may have become unknown.
      if (const Status may = MayGoOn(); !may.ok()) return End(may);
      auto text = ReadJobLog(file_, offset_);
      if (!text) return End(text.error());
      if (text->empty()) return complete_ ? End() : LookAgain();
      offset_ += text->size();
      response_.set_text(*std::move(text));
      response_.set_next_offset(offset_);
      StartWrite(&response_);
    });
  }

  TaskRunner& files_;
  const std::string job_id_;
  const bool follow_;
  std::uint64_t offset_;
  std::filesystem::path file_;
  bool complete_ = false;
  v1::ReadLogResponse response_;
};

/// A stream that has ended before it began.
template <typename Response>
class Refusal final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit Refusal(const RequestDoor::Refusal& refusal) {
    this->Finish(rpc::ToGrpc(refusal.why, {.field = refusal.field}));
  }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchRunResponse>* StartWatch(const RequestDoor::OrRefusal<v1::WatchRunRequest>& request,
                                                           StreamParts parts) {
  if (!request) return new Refusal<v1::WatchRunResponse>(request.error());
  return new Watch(*request, std::move(parts));
}

grpc::ServerWriteReactor<v1::ReadLogResponse>* StartReadLog(const RequestDoor::OrRefusal<v1::ReadLogRequest>& request,
                                                            StreamParts parts, TaskRunner& files) {
  if (!request) return new Refusal<v1::ReadLogResponse>(request.error());
  return new LogStream(*request, std::move(parts), files);
}

}  // namespace ferment::coordinator
