// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/lease_service.h"

#include <optional>
#include <set>
#include <string>

#include "coordinator/rpc/distribution_words.h"
#include "coordinator/rpc/unary_call.h"

namespace ferment::coordinator {
namespace {

LeaseKey FromProto(const v1::LeaseKey& key) { return {key.run_id(), key.job_id(), key.shard(), key.epoch()}; }

RecordCounts FromProto(const v1::RecordCounts& counts) {
  return {counts.read(),
          counts.labelled(),
          counts.abstained(),
          counts.quarantined(),
          {counts.class_histogram().begin(), counts.class_histogram().end()}};
}

LeaseRequest FromProto(const v1::LeaseShardsRequest& request) {
  return {request.labeler_id(), request.max_leases(), request.call()};
}

ShardResult FromProto(const v1::CommitShardRequest& request) {
  ShardResult result{request.request_id(),        request.labeler_id(),
                     FromProto(request.key()),    {},
                     FromProto(request.counts()), {request.reasons().begin(), request.reasons().end()},
                     request.seconds(),           request.cpu_seconds(),
                     request.peak_rss_bytes(),    {request.canaries_correct(), request.canaries_checked()}};
  if (request.has_plan_agreement()) result.plan_agreement = request.plan_agreement();
  result.confidence = DistributionOf(request.confidence());
  result.files.reserve(static_cast<std::size_t>(request.files_size()));
  for (const v1::ResultFile& file : request.files()) result.files.push_back({file.file(), file.sha256()});
  return result;
}

FailureCause FromProto(v1::FailureCause cause) {
  return cause == v1::FAILURE_CAUSE_PLAN_REFUSED ? FailureCause::kPlanRefused : FailureCause::kOther;
}

ShardFailure FromProto(const v1::FailShardRequest& request) {
  return {request.request_id(),     request.labeler_id(),
          FromProto(request.key()), {request.reason(), request.exit_code(), FromProto(request.cause())},
          request.permanent(),      FromProto(request.counts())};
}

void FillWork(const LeaseKey& key, const GrantedWork& granted, v1::JobWork& work) {
  work.set_run_id(key.run_id);
  work.set_job_id(key.job_id);
  work.set_run_dir(granted.run_dir);
  work.set_dataset(granted.work.dataset);
  if (granted.phase == Phase::kLabel) {
    const WorkModel& teacher = granted.work.models.at(0);
    v1::LabelWork& label = *work.mutable_label();
    label.set_teacher_file(teacher.file);
    label.set_teacher_digest(teacher.digest);
    label.set_label_config(granted.work.label_config);
    label.set_output_dir(teacher.output_dir);
    return;
  }
  for (const WorkModel& model : granted.work.models) {
    v1::FrozenModel* frozen = work.mutable_feature()->add_models();
    frozen->set_role(model.role);
    frozen->set_file(model.file);
    frozen->set_digest(model.digest);
    frozen->set_output_dir(model.output_dir);
  }
}

std::set<std::string> KnownRuns(const v1::LeaseShardsRequest& request) {
  return {request.known_runs().begin(), request.known_runs().end()};
}

void FillLeases(const LeaseAnswer& answer, const std::set<std::string>& known, v1::LeaseShardsResponse& response) {
  const GrantedWork* last = nullptr;
  for (const GrantedLease& granted : answer.leases) {
    if (granted.job.get() != last) {
      last = granted.job.get();
      FillWork(granted.key, *last, *response.add_works());
      const std::string& run_id = granted.key.run_id;
      if (!known.contains(run_id) && !response.specs().contains(run_id)) {
        (*response.mutable_specs())[run_id] = *last->spec;
      }
    }
    v1::Lease& lease = *response.add_leases();
    lease.set_work(static_cast<std::uint32_t>(response.works_size() - 1));
    lease.set_shard(granted.key.shard);
    lease.set_epoch(granted.key.epoch);
    lease.set_lease_ms(static_cast<std::uint32_t>(granted.lease_time.count()));
    lease.set_first_record(granted.shard.first_record);
    lease.set_record_count(granted.shard.record_count);
    if (!granted.shard.group.empty()) lease.set_group(granted.shard.group);
  }
  response.set_retry_after_ms(static_cast<std::uint32_t>(answer.retry_after.count()));
  response.set_idle(answer.idle);
}

}  // namespace

Result<std::string> LeaseServiceImpl::CallerOf(const grpc::ServerContextBase& context,
                                               const std::string& labeler_id) const {
  FERMENT_RETURN_IF_ERROR(check_.OwnsLabeler(context, labeler_id));
  return check_.enabled() ? labeler_id : std::string();
}

grpc::ServerUnaryReactor* LeaseServiceImpl::RegisterLabeler(grpc::CallbackServerContext* context,
                                                            const v1::RegisterLabelerRequest* received,
                                                            v1::RegisterLabelerResponse* response) {
  return Serve(door_, RequestKind::kNewWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_ASSIGN_OR_RETURN(const auto name, check_.LabelerName(*context, request.name(), request.incarnation()));
    scheduler_.Register({name, request.incarnation(), request.instruction_set(), request.replaces(), request.host()},
                        call.Answer<Registration>([response](const Registration& registration) {
                          response->set_labeler_id(registration.labeler_id);
                          response->set_held_by(registration.held_by);
                        }));
    return {};
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::LeaseShards(grpc::CallbackServerContext* context,
                                                        const v1::LeaseShardsRequest* received,
                                                        v1::LeaseShardsResponse* response) {
  return Serve(door_, RequestKind::kNewWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_RETURN_IF_ERROR(check_.OwnsLabeler(*context, request.labeler_id()));
    scheduler_.Lease(FromProto(request),
                     call.Answer<LeaseAnswer>([known = KnownRuns(request), response](const LeaseAnswer& answer) {
                       FillLeases(answer, known, *response);
                     }));
    return {};
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::RenewLease(grpc::CallbackServerContext* context,
                                                       const v1::RenewLeaseRequest* received,
                                                       v1::RenewLeaseResponse* response) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_ASSIGN_OR_RETURN(const auto caller, CallerOf(*context, request.labeler_id()));
    scheduler_.Renew({FromProto(request.key()), caller}, request.records_done(),
                     call.Answer<std::chrono::milliseconds>([response](std::chrono::milliseconds lease_time) {
                       response->set_lease_ms(static_cast<std::uint32_t>(lease_time.count()));
                     }));
    return {};
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::CommitShard(grpc::CallbackServerContext* context,
                                                        const v1::CommitShardRequest* received,
                                                        v1::CommitShardResponse* response) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_ASSIGN_OR_RETURN(const auto caller, CallerOf(*context, request.labeler_id()));
    std::optional<LeaseRequest> next;
    if (request.has_next()) {
      FERMENT_RETURN_IF_ERROR(check_.OwnsLabeler(*context, request.next().labeler_id()));
      next = FromProto(request.next());
    }
    auto fill = [with_next = request.has_next(), known = KnownRuns(request.next()),
                 response](const Scheduler::CommitAnswer& answer) {
      response->set_duplicate(answer.duplicate);
      if (with_next) FillLeases(answer.next, known, *response->mutable_next());
    };
    scheduler_.Commit(caller, FromProto(request), std::move(next),
                      call.Answer<Scheduler::CommitAnswer>(std::move(fill)));
    return {};
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::ReturnLease(grpc::CallbackServerContext* context,
                                                        const v1::ReturnLeaseRequest* received,
                                                        v1::ReturnLeaseResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_ASSIGN_OR_RETURN(const auto caller, CallerOf(*context, request.labeler_id()));
    scheduler_.Return({FromProto(request.key()), caller}, call.End());
    return {};
  });
}

grpc::ServerUnaryReactor* LeaseServiceImpl::FailShard(grpc::CallbackServerContext* context,
                                                      const v1::FailShardRequest* received,
                                                      v1::FailShardResponse* /*response*/) {
  return Serve(door_, RequestKind::kHeldWork, *context, received, [&](const auto& request, UnaryCall& call) -> Status {
    FERMENT_ASSIGN_OR_RETURN(const auto caller, CallerOf(*context, request.labeler_id()));
    call.About({.field = "request_id"});
    scheduler_.FailShard(caller, FromProto(request), call.End());
    return {};
  });
}

}  // namespace ferment::coordinator
