// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/trainer_service.h"

#include "coordinator/rpc/distribution_words.h"
#include "coordinator/rpc/unary_call.h"

namespace ferment::coordinator {
namespace {

TrainerDistributions DistributionsOf(const google::protobuf::Map<std::string, v1::Distribution>& proto) {
  TrainerDistributions distributions;
  for (const auto& [name, distribution] : proto) distributions[name] = DistributionOf(distribution);
  return distributions;
}

}  // namespace

grpc::ServerUnaryReactor* TrainerServiceImpl::AcquireRunToken(grpc::CallbackServerContext* context,
                                                              const v1::AcquireRunTokenRequest* received,
                                                              v1::AcquireRunTokenResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::AcquireRunTokenRequest& request = admitted->request;
  const Status may = check_.MayTouchRun(*context, request.run_id());
  if (!may.ok()) return FinishNow(*context, may);
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.TakeToken(
      {request.run_id(), request.job_id(), request.attempt(), request.incarnation(), request.host(), request.pid(),
       request.run_dir()},
      Finish<std::uint64_t>(
          *context, call, admitted->share, [response](std::uint64_t token) { response->set_token(token); },
          AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* TrainerServiceImpl::ReportProgress(grpc::CallbackServerContext* context,
                                                             const v1::ReportProgressRequest* received,
                                                             v1::ReportProgressResponse* response) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::ReportProgressRequest& request = admitted->request;
  const Status may = check_.MayTouchRun(*context, request.run_id());
  if (!may.ok()) return FinishNow(*context, may);
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.Report({request.run_id(), request.job_id(), request.token()},
                    {request.step(),
                     request.total_steps(),
                     {request.samples(), request.cpu_seconds(), request.peak_rss_bytes()},
                     {request.metrics().begin(), request.metrics().end()},
                     DistributionsOf(request.distributions()),
                     {request.rank_idle_seconds().begin(), request.rank_idle_seconds().end()}},
                    Finish<bool>(
                        *context, call, admitted->share, [response](bool stop) { response->set_stop(stop); },
                        AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* TrainerServiceImpl::CompleteJob(grpc::CallbackServerContext* context,
                                                          const v1::CompleteJobRequest* received,
                                                          v1::CompleteJobResponse* /*response*/) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::CompleteJobRequest& request = admitted->request;
  const Status may = check_.MayTouchRun(*context, request.run_id());
  if (!may.ok()) return FinishNow(*context, may);
  TrainerResult result{{request.samples(), request.cpu_seconds(), request.peak_rss_bytes()},
                       {},
                       {request.metrics().begin(), request.metrics().end()},
                       DistributionsOf(request.distributions())};
  result.models.reserve(static_cast<std::size_t>(request.models_size()));
  for (const v1::PublishedModel& model : request.models()) {
    result.models.push_back({model.role(), model.file(), model.sha256()});
  }
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.Complete({request.run_id(), request.job_id(), request.token()}, result,
                      Finish(*context, call, admitted->share, AboutRun(request.run_id())));
  return call;
}

grpc::ServerUnaryReactor* TrainerServiceImpl::FailJob(grpc::CallbackServerContext* context,
                                                      const v1::FailJobRequest* received,
                                                      v1::FailJobResponse* /*response*/) {
  const auto admitted = door_.Admit(RequestKind::kHeldWork, received);
  if (!admitted) return FinishNow(*context, admitted.error());
  const v1::FailJobRequest& request = admitted->request;
  const Status may = check_.MayTouchRun(*context, request.run_id());
  if (!may.ok()) return FinishNow(*context, may);
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  scheduler_.FailJob({request.run_id(), request.job_id(), request.token()}, {request.message(), request.exit_code()},
                     Finish(*context, call, admitted->share, AboutRun(request.run_id())));
  return call;
}

}  // namespace ferment::coordinator
