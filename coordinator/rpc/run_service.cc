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
  return Serve(door_, RequestKind::kNewWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    if (Status rules = CheckMessage(request.spec()); !rules.ok()) {
      call.About({.field = "spec"});
      return rules;
    }
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
    const std::string& token = request.page_token();
    std::size_t offset = 0;
    const auto parsed = std::from_chars(token.data(), token.data() + token.size(), offset);
    if (!token.empty() && (parsed.ec != std::errc() || parsed.ptr != token.data() + token.size())) {
      call.About({.field = "page_token"});
      return InvalidArgumentError("not a page token of ours: page_token=" + token);
    }
    const std::uint32_t size = request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage);
    scheduler_.List(offset, size, call.Answer<RunPage>([response, offset](const RunPage& page) {
      for (const RunView& view : page.runs) *response->add_runs() = ToRunStatus(view);
      if (page.more) response->set_next_page_token(std::to_string(offset + page.runs.size()));
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
    call.About(AboutRun(request.run_id()));
    scheduler_.Cancel(request.run_id(), request.request_id(), call.End());
    return {};
  });
}

grpc::ServerUnaryReactor* RunServiceImpl::UpdateRun(grpc::CallbackServerContext* context,
                                                    const v1::UpdateRunRequest* received,
                                                    v1::UpdateRunResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    call.About(AboutRun(request.run_id()));
    RunUpdate update{request.run_id(), request.request_id()};
    if (request.has_suspended()) update.suspended = request.suspended();
    if (request.has_priority()) update.priority = request.priority();
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
