// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_service.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "common/config/run_layout.h"
#include "common/rpc/grpc_status.h"
#include "coordinator/job_log.h"
#include "coordinator/rpc/run_status.h"

namespace ferment::coordinator {
namespace {

/// A stream looks for news this often, and sends no more often.
constexpr std::chrono::milliseconds kStreamInterval{200};
constexpr std::uint32_t kDefaultPage = 100;
constexpr std::uint32_t kLargestPage = 1000;
/// A run of many shards has 20,000 letters a job. A page ends with the run that comes past this.
constexpr std::size_t kPageBytes = 256 << 10;
/// Runs that are asked for at a time, so that a page is not all of the scheduler's time nor much memory.
constexpr std::size_t kRunsAtOnce = 16;

grpc::Status Ending() { return rpc::ToGrpc(UnavailableError("the coordinator is stopping; follow the next one")); }

}  // namespace

RunServiceImpl::RunServiceImpl(Scheduler& scheduler, int max_streams)
    : scheduler_(scheduler), views_(scheduler, kStreamInterval), streams_(max_streams) {}

grpc::Status RunServiceImpl::SubmitRun(grpc::ServerContext* /*context*/, const v1::SubmitRunRequest* request,
                                       v1::SubmitRunResponse* response) {
  const auto run_id =
      scheduler_.Submit({request->request_id(), request->spec(), request->run_dir(), request->priority()});
  if (!run_id) return rpc::ToGrpc(run_id.error());
  response->set_run_id(*run_id);
  return grpc::Status::OK;
}

grpc::Status RunServiceImpl::GetRun(grpc::ServerContext* /*context*/, const v1::GetRunRequest* request,
                                    v1::GetRunResponse* response) {
  const auto view = scheduler_.View(request->run_id());
  if (!view) return rpc::ToGrpc(view.error());
  *response->mutable_run() = ToRunStatus(*view);
  return grpc::Status::OK;
}

grpc::Status RunServiceImpl::ListRuns(grpc::ServerContext* /*context*/, const v1::ListRunsRequest* request,
                                      v1::ListRunsResponse* response) {
  const std::string& token = request->page_token();
  std::size_t offset = 0;
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), offset);
  if (!token.empty() && (parsed.ec != std::errc() || parsed.ptr != token.data() + token.size())) {
    return rpc::ToGrpc(InvalidArgumentError("not a page token of ours: page_token=" + token));
  }
  const std::uint32_t size = request->page_size() == 0 ? kDefaultPage : std::min(request->page_size(), kLargestPage);
  std::size_t bytes = 0;
  for (std::size_t left = size; left > 0 && bytes < kPageBytes;) {
    // One more than is wanted, to see whether there is a next page.
    const std::size_t wanted = std::min(left, kRunsAtOnce);
    const auto views = scheduler_.List(offset, wanted + 1);
    if (!views) return rpc::ToGrpc(views.error());
    std::size_t taken = 0;
    for (; taken < std::min(views->size(), wanted) && bytes < kPageBytes; ++taken) {
      v1::RunStatus& run = *response->add_runs();
      run = ToRunStatus((*views)[taken]);
      bytes += run.ByteSizeLong();
    }
    offset += taken;
    left -= taken;
    response->set_next_page_token(views->size() > taken ? std::to_string(offset) : "");
    if (views->size() <= wanted) break;
  }
  return grpc::Status::OK;
}

grpc::Status RunServiceImpl::WatchRun(grpc::ServerContext* context, const v1::WatchRunRequest* request,
                                      grpc::ServerWriter<v1::WatchRunResponse>* writer) {
  const auto place = streams_.Take();
  if (!place) return rpc::ToGrpc(place.error());
  std::uint64_t sent = 0;
  while (!context->IsCancelled()) {
    // What a client did before it asked for the stream must show in it.
    const SharedView view = sent == 0 ? views_.Look(request->run_id()) : views_.LookAgain(request->run_id());
    if (!view) return rpc::ToGrpc(view.error());
    const RunView& run = **view;
    if (run.revision != sent) {
      v1::WatchRunResponse response;
      *response.mutable_run() = ToRunStatus(run);
      if (!writer->Write(response)) return grpc::Status::OK;
      sent = run.revision;
    }
    if (run.state != RunState::kRunning) return grpc::Status::OK;
    if (ending_) return Ending();
    std::this_thread::sleep_for(kStreamInterval);
  }
  return grpc::Status::OK;
}

grpc::Status RunServiceImpl::CancelRun(grpc::ServerContext* /*context*/, const v1::CancelRunRequest* request,
                                       v1::CancelRunResponse* /*response*/) {
  return rpc::ToGrpc(scheduler_.Cancel(request->run_id(), request->request_id()));
}

grpc::Status RunServiceImpl::UpdateRun(grpc::ServerContext* /*context*/, const v1::UpdateRunRequest* request,
                                       v1::UpdateRunResponse* /*response*/) {
  RunUpdate update{request->run_id(), request->request_id()};
  if (request->has_suspended()) update.suspended = request->suspended();
  if (request->has_priority()) update.priority = request->priority();
  return rpc::ToGrpc(scheduler_.Update(update));
}

grpc::Status RunServiceImpl::RollBackTeacher(grpc::ServerContext* /*context*/,
                                             const v1::RollBackTeacherRequest* request,
                                             v1::RollBackTeacherResponse* response) {
  const auto job_id = scheduler_.RollBackTeacher(request->run_id(), request->request_id(), request->reason());
  if (!job_id) return rpc::ToGrpc(job_id.error());
  response->set_job_id(*job_id);
  return grpc::Status::OK;
}

grpc::Status RunServiceImpl::ReadLog(grpc::ServerContext* context, const v1::ReadLogRequest* request,
                                     grpc::ServerWriter<v1::ReadLogResponse>* writer) {
  const auto place = streams_.Take();
  if (!place) return rpc::ToGrpc(place.error());
  std::uint64_t offset = request->offset();
  for (bool first = true; !context->IsCancelled(); first = false) {
    // The state is taken before the text, so that what was written up to the end is sent.
    const SharedView view = first ? views_.Look(request->run_id()) : views_.LookAgain(request->run_id());
    if (!view) return rpc::ToGrpc(view.error());
    const RunView& run = **view;
    const auto job = std::find_if(run.jobs.begin(), run.jobs.end(),
                                  [&](const JobView& one) { return one.job_id == request->job_id(); });
    if (job == run.jobs.end()) {
      return rpc::ToGrpc(NotFoundError("no such job: run=" + request->run_id() + " job=" + request->job_id()));
    }
    const auto text = ReadJobLog(RunLayout(run.run_dir).Log(request->job_id()), offset);
    if (!text) return rpc::ToGrpc(text.error());
    if (!text->empty()) {
      offset += text->size();
      v1::ReadLogResponse response;
      response.set_text(*text);
      response.set_next_offset(offset);
      if (!writer->Write(response)) return grpc::Status::OK;
      continue;
    }
    if (!request->follow() || HasEnded(job->state) || run.state != RunState::kRunning) return grpc::Status::OK;
    if (ending_) return Ending();
    std::this_thread::sleep_for(kStreamInterval);
  }
  return grpc::Status::OK;
}

}  // namespace ferment::coordinator
