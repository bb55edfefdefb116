// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_service.h"

#include <algorithm>
#include <charconv>

#include "common/config/spec_checks.h"
#include "coordinator/rpc/run_status.h"
#include "coordinator/rpc/run_streams.h"
#include "coordinator/rpc/unary_call.h"

namespace ferment::coordinator {
namespace {

constexpr std::uint32_t kDefaultPage = 100;
constexpr std::uint32_t kLargestPage = 1000;

}  // namespace

StreamParts RunServiceImpl::PartsOf(const grpc::CallbackServerContext& context) {
  // gRPC keeps the context until the stream is done.
  return {streams_, news_, [this, &context] { return callers_.StillKnown(context); }};
}

grpc::ServerUnaryReactor* RunServiceImpl::SubmitRun(grpc::CallbackServerContext* context,
                                                    const v1::SubmitRunRequest* received,
                                                    v1::SubmitRunResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kNewWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::SubmitRunRequest& request = admitted->request;
  const Status rules = CheckMessage(request.spec());
  if (!rules.ok()) return FinishNow(*context, rules, {.field = "spec"});
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.Submit({request.request_id(), request.spec(), request.run_dir(), request.priority()},
                    Finish<std::string>(*context, call, admitted->share,
                                        [response](const std::string& run_id) { response->set_run_id(run_id); }));
  return call;
}

grpc::ServerUnaryReactor* RunServiceImpl::GetRun(grpc::CallbackServerContext* context,
                                                 const v1::GetRunRequest* received, v1::GetRunResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kLookup, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::GetRunRequest& request = admitted->request;
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.View(request.run_id(),
                  Finish<RunView>(
                      *context, call, admitted->share,
                      [response](const RunView& view) { *response->mutable_run() = ToRunStatus(view); },
                      AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* RunServiceImpl::ListRuns(grpc::CallbackServerContext* context,
                                                   const v1::ListRunsRequest* received,
                                                   v1::ListRunsResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kLookup, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::ListRunsRequest& request = admitted->request;
  const std::string& token = request.page_token();
  std::size_t offset = 0;
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), offset);
  if (!token.empty() && (parsed.ec != std::errc() || parsed.ptr != token.data() + token.size())) {
    return FinishNow(*context, InvalidArgumentError("not a page token of ours: page_token=" + token),
                     {.field = "page_token"});
  }
  const std::uint32_t size = request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage);
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.List(offset, size,
                  Finish<RunPage>(*context, call, admitted->share, [response, offset](const RunPage& page) {
                    for (const RunView& view : page.runs) *response->add_runs() = ToRunStatus(view);
                    if (page.more) response->set_next_page_token(std::to_string(offset + page.runs.size()));
                  }));
  return call;
}

grpc::ServerWriteReactor<v1::WatchRunResponse>* RunServiceImpl::WatchRun(grpc::CallbackServerContext* context,
                                                                         const v1::WatchRunRequest* received) {
  return StartWatch(RequestDoor::Take(received), PartsOf(*context));
}

grpc::ServerUnaryReactor* RunServiceImpl::CancelRun(grpc::CallbackServerContext* context,
                                                    const v1::CancelRunRequest* received,
                                                    v1::CancelRunResponse* /*response*/) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::CancelRunRequest& request = admitted->request;
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.Cancel(request.run_id(), request.request_id(),
                    Finish(*context, call, admitted->share, AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* RunServiceImpl::UpdateRun(grpc::CallbackServerContext* context,
                                                    const v1::UpdateRunRequest* received,
                                                    v1::UpdateRunResponse* /*response*/) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::UpdateRunRequest& request = admitted->request;
  RunUpdate update{request.run_id(), request.request_id()};
  if (request.has_suspended()) update.suspended = request.suspended();
  if (request.has_priority()) update.priority = request.priority();
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.Update(update, Finish(*context, call, admitted->share, AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* RunServiceImpl::RollBackTeacher(grpc::CallbackServerContext* context,
                                                          const v1::RollBackTeacherRequest* received,
                                                          v1::RollBackTeacherResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::RollBackTeacherRequest& request = admitted->request;
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.RollBackTeacher(
      request.run_id(), request.request_id(), request.reason(),
      Finish<std::string>(
          *context, call, admitted->share, [response](const std::string& job_id) { response->set_job_id(job_id); },
          AboutRun(request.run_id())));
  return call;
}

grpc::ServerWriteReactor<v1::ReadLogResponse>* RunServiceImpl::ReadLog(grpc::CallbackServerContext* context,
                                                                       const v1::ReadLogRequest* received) {
  return StartReadLog(RequestDoor::Take(received), PartsOf(*context), files_);
}

}  // namespace ferment::coordinator
