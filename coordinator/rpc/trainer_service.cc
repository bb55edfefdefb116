// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/trainer_service.h"

#include "common/rpc/grpc_status.h"

namespace ferment::coordinator {

grpc::Status TrainerServiceImpl::AcquireRunToken(grpc::ServerContext* context,
                                                 const v1::AcquireRunTokenRequest* request,
                                                 v1::AcquireRunTokenResponse* response) {
  if (const Status may = check_.MayTouchRun(*context, request->run_id()); !may.ok()) return rpc::ToGrpc(may);
  const auto token = scheduler_.TakeToken({request->run_id(), request->job_id(), request->attempt(),
                                           request->incarnation(), request->host(), request->pid()});
  if (!token) return rpc::ToGrpc(token.error());
  response->set_token(*token);
  return grpc::Status::OK;
}

grpc::Status TrainerServiceImpl::ReportProgress(grpc::ServerContext* context, const v1::ReportProgressRequest* request,
                                                v1::ReportProgressResponse* response) {
  if (const Status may = check_.MayTouchRun(*context, request->run_id()); !may.ok()) return rpc::ToGrpc(may);
  const auto stop = scheduler_.Report({request->run_id(), request->job_id(), request->token()},
                                      {request->step(),
                                       request->total_steps(),
                                       {request->samples(), request->cpu_seconds(), request->peak_rss_bytes()},
                                       {request->metrics().begin(), request->metrics().end()}});
  if (!stop) return rpc::ToGrpc(stop.error());
  response->set_stop(*stop);
  return grpc::Status::OK;
}

grpc::Status TrainerServiceImpl::CompleteJob(grpc::ServerContext* context, const v1::CompleteJobRequest* request,
                                             v1::CompleteJobResponse* /*response*/) {
  if (const Status may = check_.MayTouchRun(*context, request->run_id()); !may.ok()) return rpc::ToGrpc(may);
  TrainerResult result{{request->samples(), request->cpu_seconds(), request->peak_rss_bytes()},
                       {},
                       {request->metrics().begin(), request->metrics().end()}};
  for (const v1::PublishedModel& model : request->models()) {
    result.models.push_back({model.role(), model.file(), model.sha256()});
  }
  return rpc::ToGrpc(scheduler_.Complete({request->run_id(), request->job_id(), request->token()}, result));
}

grpc::Status TrainerServiceImpl::FailJob(grpc::ServerContext* context, const v1::FailJobRequest* request,
                                         v1::FailJobResponse* /*response*/) {
  if (const Status may = check_.MayTouchRun(*context, request->run_id()); !may.ok()) return rpc::ToGrpc(may);
  return rpc::ToGrpc(scheduler_.FailJob({request->run_id(), request->job_id(), request->token()},
                                        {request->message(), request->exit_code()}));
}

}  // namespace ferment::coordinator
