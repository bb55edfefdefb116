// SPDX-License-Identifier: Apache-2.0
//
// TrainerService over gRPC: translation, and whose run it is; trainer_service.proto says what each method promises.
#pragma once

#include "coordinator/rpc/caller_check.h"
#include "coordinator/scheduler.h"
#include "ferment/v1/trainer_service.grpc.pb.h"

namespace ferment::coordinator {

/// Thread: any. The scheduler outlives it, and so does the authenticator, which is null without TLS.
class TrainerServiceImpl final : public v1::TrainerService::Service {
 public:
  explicit TrainerServiceImpl(Scheduler& scheduler, const rpc::Authenticator* authenticator = nullptr)
      : scheduler_(scheduler), check_(authenticator) {}

  grpc::Status AcquireRunToken(grpc::ServerContext* context, const v1::AcquireRunTokenRequest* request,
                               v1::AcquireRunTokenResponse* response) override;
  grpc::Status ReportProgress(grpc::ServerContext* context, const v1::ReportProgressRequest* request,
                              v1::ReportProgressResponse* response) override;
  grpc::Status CompleteJob(grpc::ServerContext* context, const v1::CompleteJobRequest* request,
                           v1::CompleteJobResponse* response) override;
  grpc::Status FailJob(grpc::ServerContext* context, const v1::FailJobRequest* request,
                       v1::FailJobResponse* response) override;

 private:
  Scheduler& scheduler_;
  const CallerCheck check_;
};

}  // namespace ferment::coordinator
