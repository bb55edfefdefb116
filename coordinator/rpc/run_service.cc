// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_service.h"

#include <algorithm>

#include "common/config/spec_checks.h"
#include "coordinator/core/run_number.h"
#include "coordinator/rpc/page_token.h"
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
  return Serve(door_, RequestKind::kNewWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    // RunDesk looks too, and can only say what is wrong, not where.
    FERMENT_RETURN_IF_ERROR(call.OfField("spec", CheckMessage(request.spec())));
    FERMENT_RETURN_IF_ERROR(call.OfField("run_dir", CheckRunDir(request.run_dir())));
    FERMENT_RETURN_IF_ERROR(call.OfField("priority", CheckPriority(request.priority())));
    call.About({.field = "spec"});
    scheduler_.Submit(
        {request.request_id(), request.spec(), request.run_dir(), request.priority(), request.new_folder()},
        call.Answer<std::string>([response](const std::string& id) { response->set_run_id(id); }));
    return {};
  });
}

grpc::ServerUnaryReactor* RunServiceImpl::GetRun(grpc::CallbackServerContext* context,
                                                 const v1::GetRunRequest* received, v1::GetRunResponse* response) {
  return Serve(door_, RequestKind::kLookup, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About(AboutRun(request.run_id()));
    scheduler_.View(request.run_id(), call.Answer<RunView>([response](const RunView& view) {
      *response->mutable_run() = ToRunStatus(view);
    }));
    return {};
  });
}

grpc::ServerUnaryReactor* RunServiceImpl::ListRuns(grpc::CallbackServerContext* context,
                                                   const v1::ListRunsRequest* received,
                                                   v1::ListRunsResponse* response) {
  return Serve(door_, RequestKind::kLookup, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About({.field = "page_token"});
    FERMENT_ASSIGN_OR_RETURN(const std::uint64_t before, RunOfPageToken(request.page_token()));
    const std::uint32_t size = request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage);
    scheduler_.List(before, size, call.Answer<RunPage>([response](const RunPage& page) {
      for (const RunView& view : page.runs) *response->add_runs() = ToRunStatus(view);
      if (page.more) response->set_next_page_token(PageTokenAfter(RunNumberOf(page.runs.back().run_id)));
    }));
    return {};
  });
}

grpc::ServerWriteReactor<v1::WatchRunResponse>* RunServiceImpl::WatchRun(grpc::CallbackServerContext* context,
                                                                         const v1::WatchRunRequest* received) {
  return StartWatch(RequestDoor::Take(received), PartsOf(*context));
}

grpc::ServerUnaryReactor* RunServiceImpl::CancelRun(grpc::CallbackServerContext* context,
                                                    const v1::CancelRunRequest* received,
                                                    v1::CancelRunResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About(AboutRun(request.run_id(), "request_id"));
    scheduler_.Cancel(request.run_id(), request.request_id(), call.End());
    return {};
  });
}

grpc::ServerUnaryReactor* RunServiceImpl::UpdateRun(grpc::CallbackServerContext* context,
                                                    const v1::UpdateRunRequest* received,
                                                    v1::UpdateRunResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About(AboutRun(request.run_id(), "request_id"));
    RunUpdate update{request.run_id(), request.request_id()};
    if (request.has_suspended()) update.suspended = request.suspended();
    if (request.has_priority()) update.priority = request.priority();
    FERMENT_RETURN_IF_ERROR(call.OfField("suspended", CheckNotEmpty(update)));
    FERMENT_RETURN_IF_ERROR(call.OfField("priority", CheckPriority(update.priority.value_or(0))));
    scheduler_.Update(update, call.End());
    return {};
  });
}

grpc::ServerUnaryReactor* RunServiceImpl::RollBackTeacher(grpc::CallbackServerContext* context,
                                                          const v1::RollBackTeacherRequest* received,
                                                          v1::RollBackTeacherResponse* response) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About(AboutRun(request.run_id()));
    scheduler_.RollBackTeacher(
        request.run_id(), request.request_id(), request.reason(),
        call.Answer<std::string>([response](const std::string& job_id) { response->set_job_id(job_id); }));
    return {};
  });
}

grpc::ServerWriteReactor<v1::ReadLogResponse>* RunServiceImpl::ReadLog(grpc::CallbackServerContext* context,
                                                                       const v1::ReadLogRequest* received) {
  return StartReadLog(RequestDoor::Take(received), PartsOf(*context), files_);
}

}  // namespace ferment::coordinator
