// SPDX-License-Identifier: Apache-2.0
//
// LeaseService over gRPC: translation, and whose lease it is; lease_service.proto says what each method promises.
#pragma once

#include "coordinator/rpc/caller_check.h"
#include "coordinator/scheduler.h"
#include "ferment/v1/lease_service.grpc.pb.h"

namespace ferment::coordinator {

/// Thread: any. The scheduler outlives it, and so does the authenticator, which is null without TLS.
class LeaseServiceImpl final : public v1::LeaseService::Service {
 public:
  explicit LeaseServiceImpl(Scheduler& scheduler, const rpc::Authenticator* authenticator = nullptr)
      : scheduler_(scheduler), check_(authenticator) {}

  grpc::Status RegisterLabeler(grpc::ServerContext* context, const v1::RegisterLabelerRequest* request,
                               v1::RegisterLabelerResponse* response) override;
  grpc::Status LeaseShards(grpc::ServerContext* context, const v1::LeaseShardsRequest* request,
                           v1::LeaseShardsResponse* response) override;
  grpc::Status RenewLease(grpc::ServerContext* context, const v1::RenewLeaseRequest* request,
                          v1::RenewLeaseResponse* response) override;
  grpc::Status CommitShard(grpc::ServerContext* context, const v1::CommitShardRequest* request,
                           v1::CommitShardResponse* response) override;
  grpc::Status ReturnLease(grpc::ServerContext* context, const v1::ReturnLeaseRequest* request,
                           v1::ReturnLeaseResponse* response) override;
  grpc::Status FailShard(grpc::ServerContext* context, const v1::FailShardRequest* request,
                         v1::FailShardResponse* response) override;

 private:
  /// Errors: those of CallerCheck::OwnsLabeler; PermissionDenied where another labeler holds the lease.
  Status MayTouch(const grpc::ServerContext& context, const std::string& labeler_id, const v1::LeaseKey& key);

  Scheduler& scheduler_;
  const CallerCheck check_;
};

}  // namespace ferment::coordinator
