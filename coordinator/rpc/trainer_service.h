// SPDX-License-Identifier: Apache-2.0
//
// TrainerService over gRPC: translation, and whose run it is; trainer_service.proto says what each method promises.
#pragma once

#include "coordinator/rpc/caller_check.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/scheduler/scheduler.h"
#include "ferment/v1/trainer_service.grpc.pb.h"

namespace ferment::coordinator {

/// No thread waits in a call. Thread: any. The scheduler outlives it, and so does the authenticator, which is null
/// without TLS.
class TrainerServiceImpl final : public v1::TrainerService::CallbackService {
 public:
  explicit TrainerServiceImpl(Scheduler& scheduler, RequestDoor& door,
                              const rpc::Authenticator* authenticator = nullptr)
      : scheduler_(scheduler), door_(door), check_(authenticator) {}

  grpc::ServerUnaryReactor* AcquireRunToken(grpc::CallbackServerContext* context,
                                            const v1::AcquireRunTokenRequest* received,
                                            v1::AcquireRunTokenResponse* response) override;
  grpc::ServerUnaryReactor* ReportProgress(grpc::CallbackServerContext* context,
                                           const v1::ReportProgressRequest* received,
                                           v1::ReportProgressResponse* response) override;
  grpc::ServerUnaryReactor* CompleteJob(grpc::CallbackServerContext* context, const v1::CompleteJobRequest* received,
                                        v1::CompleteJobResponse* response) override;
  grpc::ServerUnaryReactor* FailJob(grpc::CallbackServerContext* context, const v1::FailJobRequest* received,
                                    v1::FailJobResponse* response) override;

 private:
  Scheduler& scheduler_;
  RequestDoor& door_;
  const CallerCheck check_;
};

}  // namespace ferment::coordinator
