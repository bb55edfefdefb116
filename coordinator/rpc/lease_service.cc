// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/lease_service.h"

#include <optional>
#include <set>

#include "common/rpc/grpc_status.h"

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

void FillLabelWork(const GrantedLease& granted, v1::LabelWork& work) {
  work.set_run_dir(granted.run_dir);
  work.set_dataset(granted.work.dataset);
  work.set_first_record(granted.shard.first_record);
  work.set_record_count(granted.shard.record_count);
  work.set_label_config(granted.work.label_config);
  const WorkModel& teacher = granted.work.models.at(0);
  work.set_teacher_file(teacher.file);
  work.set_teacher_digest(teacher.digest);
  work.set_output_dir(teacher.output_dir);
}

void FillFeatureWork(const GrantedLease& granted, v1::FeatureWork& work) {
  work.set_run_dir(granted.run_dir);
  work.set_dataset(granted.work.dataset);
  work.set_group(granted.shard.group);
  work.add_videos(granted.shard.group);
  for (const WorkModel& model : granted.work.models) {
    v1::FrozenModel* frozen = work.add_models();
    frozen->set_role(model.role);
    frozen->set_file(model.file);
    frozen->set_digest(model.digest);
    frozen->set_output_dir(model.output_dir);
  }
}

void FillLease(const GrantedLease& granted, v1::Lease& lease) {
  lease.mutable_key()->set_run_id(granted.key.run_id);
  lease.mutable_key()->set_job_id(granted.key.job_id);
  lease.mutable_key()->set_shard(granted.key.shard);
  lease.mutable_key()->set_epoch(granted.key.epoch);
  lease.set_lease_ms(static_cast<std::uint32_t>(granted.lease_time.count()));
  if (granted.phase == Phase::kLabel) {
    FillLabelWork(granted, *lease.mutable_label());
  } else {
    FillFeatureWork(granted, *lease.mutable_feature());
  }
}

void FillLeases(const LeaseAnswer& answer, const v1::LeaseShardsRequest& request, v1::LeaseShardsResponse& response) {
  const std::set<std::string_view> known(request.known_runs().begin(), request.known_runs().end());
  for (const GrantedLease& granted : answer.leases) {
    FillLease(granted, *response.add_leases());
    if (known.contains(granted.key.run_id) || response.specs().contains(granted.key.run_id)) continue;
    (*response.mutable_specs())[granted.key.run_id] = *granted.spec;
  }
  response.set_retry_after_ms(static_cast<std::uint32_t>(answer.retry_after.count()));
  response.set_idle(answer.idle);
}

}  // namespace

Status LeaseServiceImpl::MayTouch(const grpc::ServerContext& context, const std::string& labeler_id,
                                  const v1::LeaseKey& key) {
  if (!check_.enabled()) return {};
  FERMENT_RETURN_IF_ERROR(check_.OwnsLabeler(context, labeler_id));
  FERMENT_ASSIGN_OR_RETURN(const std::string holder, scheduler_.HolderOf(FromProto(key)));
  if (holder.empty() || holder == labeler_id) return {};
  return PermissionDeniedError("another labeler holds this lease: labeler=" + labeler_id +
                               " shard=" + std::to_string(key.shard()) + " epoch=" + std::to_string(key.epoch()));
}

grpc::Status LeaseServiceImpl::RegisterLabeler(grpc::ServerContext* context, const v1::RegisterLabelerRequest* request,
                                               v1::RegisterLabelerResponse* response) {
  const auto name = check_.LabelerName(*context, request->name(), request->incarnation());
  if (!name) return rpc::ToGrpc(name.error());
  const auto registration = scheduler_.Register(
      {*name, request->incarnation(), request->instruction_set(), request->replaces(), request->host()});
  if (!registration) return rpc::ToGrpc(registration.error());
  response->set_labeler_id(registration->labeler_id);
  response->set_held_by(registration->held_by);
  return grpc::Status::OK;
}

grpc::Status LeaseServiceImpl::LeaseShards(grpc::ServerContext* context, const v1::LeaseShardsRequest* request,
                                           v1::LeaseShardsResponse* response) {
  if (const Status own = check_.OwnsLabeler(*context, request->labeler_id()); !own.ok()) return rpc::ToGrpc(own);
  const auto answer = scheduler_.Lease(FromProto(*request));
  if (!answer) return rpc::ToGrpc(answer.error());
  FillLeases(*answer, *request, *response);
  return grpc::Status::OK;
}

grpc::Status LeaseServiceImpl::RenewLease(grpc::ServerContext* context, const v1::RenewLeaseRequest* request,
                                          v1::RenewLeaseResponse* response) {
  if (const Status may = MayTouch(*context, request->labeler_id(), request->key()); !may.ok()) return rpc::ToGrpc(may);
  const auto lease_time = scheduler_.Renew(FromProto(request->key()), request->records_done());
  if (!lease_time) return rpc::ToGrpc(lease_time.error());
  response->set_lease_ms(static_cast<std::uint32_t>(lease_time->count()));
  return grpc::Status::OK;
}

grpc::Status LeaseServiceImpl::CommitShard(grpc::ServerContext* context, const v1::CommitShardRequest* request,
                                           v1::CommitShardResponse* response) {
  if (const Status may = MayTouch(*context, request->labeler_id(), request->key()); !may.ok()) return rpc::ToGrpc(may);
  ShardResult result{request->request_id(),        request->labeler_id(),
                     FromProto(request->key()),    {},
                     FromProto(request->counts()), {request->reasons().begin(), request->reasons().end()},
                     request->seconds(),           request->cpu_seconds(),
                     request->peak_rss_bytes(),    {request->canaries_correct(), request->canaries_checked()}};
  if (request->has_plan_agreement()) result.plan_agreement = request->plan_agreement();
  for (const v1::ResultFile& file : request->files()) result.files.push_back({file.file(), file.sha256()});
  std::optional<LeaseRequest> next;
  if (request->has_next()) {
    const Status own = check_.OwnsLabeler(*context, request->next().labeler_id());
    if (!own.ok()) return rpc::ToGrpc(own);
    next = FromProto(request->next());
  }
  const auto answer = scheduler_.Commit(result, next);
  if (!answer) return rpc::ToGrpc(answer.error());
  response->set_duplicate(answer->duplicate);
  if (next) FillLeases(answer->next, request->next(), *response->mutable_next());
  return grpc::Status::OK;
}

grpc::Status LeaseServiceImpl::ReturnLease(grpc::ServerContext* context, const v1::ReturnLeaseRequest* request,
                                           v1::ReturnLeaseResponse* /*response*/) {
  if (const Status may = MayTouch(*context, request->labeler_id(), request->key()); !may.ok()) return rpc::ToGrpc(may);
  return rpc::ToGrpc(scheduler_.Return(FromProto(request->key())));
}

grpc::Status LeaseServiceImpl::FailShard(grpc::ServerContext* context, const v1::FailShardRequest* request,
                                         v1::FailShardResponse* /*response*/) {
  if (const Status may = MayTouch(*context, request->labeler_id(), request->key()); !may.ok()) return rpc::ToGrpc(may);
  return rpc::ToGrpc(scheduler_.FailShard({request->request_id(),
                                           request->labeler_id(),
                                           FromProto(request->key()),
                                           {request->reason(), request->exit_code()},
                                           request->permanent(),
                                           FromProto(request->counts())}));
}

}  // namespace ferment::coordinator
