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

TrainerResult FromProto(const v1::CompleteJobRequest& request) {
  TrainerResult result{{request.samples(), request.cpu_seconds(), request.peak_rss_bytes()},
                       {},
                       {request.metrics().begin(), request.metrics().end()},
                       DistributionsOf(request.distributions())};
  result.models.reserve(static_cast<std::size_t>(request.models_size()));
  for (const v1::PublishedModel& model : request.models()) {
    result.models.push_back({model.role(), model.file(), model.sha256()});
  }
  return result;
}

}  // namespace

grpc::ServerUnaryReactor* TrainerServiceImpl::AcquireRunToken(grpc::CallbackServerContext* context,
                                                              const v1::AcquireRunTokenRequest* received,
                                                              v1::AcquireRunTokenResponse* response) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_RETURN_IF_ERROR(check_.MayTouchRun(*context, request.run_id()));
    call.About(AboutRun(request.run_id()));
    scheduler_.TakeToken({request.run_id(), request.job_id(), request.attempt(), request.incarnation(), request.host(),
                          request.pid(), request.run_dir()},
                         call.Answer<std::uint64_t>([response](std::uint64_t token) { response->set_token(token); }));
    return {};
  });
}

grpc::ServerUnaryReactor* TrainerServiceImpl::ReportProgress(grpc::CallbackServerContext* context,
                                                             const v1::ReportProgressRequest* received,
                                                             v1::ReportProgressResponse* response) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_RETURN_IF_ERROR(check_.MayTouchRun(*context, request.run_id()));
    call.About(AboutRun(request.run_id()));
    scheduler_.Report({request.run_id(), request.job_id(), request.token()},
                      {request.step(),
                       request.total_steps(),
                       {request.samples(), request.cpu_seconds(), request.peak_rss_bytes()},
                       {request.metrics().begin(), request.metrics().end()},
                       DistributionsOf(request.distributions()),
                       {request.rank_idle_seconds().begin(), request.rank_idle_seconds().end()}},
                      call.Answer<bool>([response](bool stop) { response->set_stop(stop); }));
    return {};
  });
}

grpc::ServerUnaryReactor* TrainerServiceImpl::CompleteJob(grpc::CallbackServerContext* context,
                                                          const v1::CompleteJobRequest* received,
                                                          v1::CompleteJobResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_RETURN_IF_ERROR(check_.MayTouchRun(*context, request.run_id()));
    call.About(AboutRun(request.run_id()));
    scheduler_.Complete({request.run_id(), request.job_id(), request.token()}, FromProto(request), call.End());
    return {};
  });
}

grpc::ServerUnaryReactor* TrainerServiceImpl::FailJob(grpc::CallbackServerContext* context,
                                                      const v1::FailJobRequest* received,
                                                      v1::FailJobResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_RETURN_IF_ERROR(check_.MayTouchRun(*context, request.run_id()));
    call.About(AboutRun(request.run_id()));
    scheduler_.FailJob({request.run_id(), request.job_id(), request.token()}, {request.message(), request.exit_code()},
                       call.End());
    return {};
  });
}

}  // namespace ferment::coordinator
