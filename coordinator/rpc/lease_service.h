// SPDX-License-Identifier: Apache-2.0
//
// LeaseService over gRPC: translation, and whose lease it is; lease_service.proto says what each method promises.
#pragma once

#include "coordinator/rpc/caller_check.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/scheduler/scheduler.h"
#include "ferment/v1/lease_service.grpc.pb.h"

namespace ferment::coordinator {

/// No thread waits in a call. Thread: any. The scheduler outlives it, and so does the authenticator, which is null
/// without TLS.
class LeaseServiceImpl final : public v1::LeaseService::CallbackService {
 public:
  explicit LeaseServiceImpl(Scheduler& scheduler, RequestDoor& door, const rpc::Authenticator* authenticator = nullptr)
      : scheduler_(scheduler), door_(door), check_(authenticator) {}

  grpc::ServerUnaryReactor* RegisterLabeler(grpc::CallbackServerContext* context,
                                            const v1::RegisterLabelerRequest* received,
                                            v1::RegisterLabelerResponse* response) override;
  grpc::ServerUnaryReactor* LeaseShards(grpc::CallbackServerContext* context, const v1::LeaseShardsRequest* received,
                                        v1::LeaseShardsResponse* response) override;
  grpc::ServerUnaryReactor* RenewLease(grpc::CallbackServerContext* context, const v1::RenewLeaseRequest* received,
                                       v1::RenewLeaseResponse* response) override;
  grpc::ServerUnaryReactor* CommitShard(grpc::CallbackServerContext* context, const v1::CommitShardRequest* received,
                                        v1::CommitShardResponse* response) override;
  grpc::ServerUnaryReactor* ReturnLease(grpc::CallbackServerContext* context, const v1::ReturnLeaseRequest* received,
                                        v1::ReturnLeaseResponse* response) override;
  grpc::ServerUnaryReactor* FailShard(grpc::CallbackServerContext* context, const v1::FailShardRequest* received,
                                      v1::FailShardResponse* response) override;

 private:
  /// Returns: whom the scheduler shall compare with a lease's holder; empty: nobody. Errors: those of
  /// CallerCheck::OwnsLabeler.
  Result<std::string> CallerOf(const grpc::ServerContextBase& context, const std::string& labeler_id) const;

  Scheduler& scheduler_;
  RequestDoor& door_;
  const CallerCheck check_;
};

}  // namespace ferment::coordinator
