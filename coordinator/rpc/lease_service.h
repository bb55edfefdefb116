// SPDX-License-Identifier: Apache-2.0
//
// LeaseService over gRPC: translation only; lease_service.proto says what each method promises.
#pragma once

#include "coordinator/scheduler.h"
#include "ferment/v1/lease_service.grpc.pb.h"

namespace ferment::coordinator {

/// Thread: any. The scheduler outlives it.
class LeaseServiceImpl final : public v1::LeaseService::Service {
 public:
  explicit LeaseServiceImpl(Scheduler& scheduler) : scheduler_(scheduler) {}

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
  Scheduler& scheduler_;
};

}  // namespace ferment::coordinator
