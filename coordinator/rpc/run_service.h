// SPDX-License-Identifier: Apache-2.0
//
// RunService over gRPC: translation only; run_service.proto says what each method promises.
#pragma once

#include <atomic>

#include "coordinator/rpc/shared_views.h"
#include "coordinator/rpc/stream_places.h"
#include "coordinator/scheduler.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::coordinator {

/// Thread: any. The scheduler outlives it.
class RunServiceImpl final : public v1::RunService::Service {
 public:
  explicit RunServiceImpl(Scheduler& scheduler, int max_streams = kMaxStreams);

  /// Well below the threads of the server, so that watchers leave some to labelers and trainers.
  static constexpr int kMaxStreams = 512;

  /// Ends the streams that are being followed; call before shutting the server down.
  void EndStreams() { ending_ = true; }

  grpc::Status SubmitRun(grpc::ServerContext* context, const v1::SubmitRunRequest* request,
                         v1::SubmitRunResponse* response) override;
  grpc::Status GetRun(grpc::ServerContext* context, const v1::GetRunRequest* request,
                      v1::GetRunResponse* response) override;
  grpc::Status ListRuns(grpc::ServerContext* context, const v1::ListRunsRequest* request,
                        v1::ListRunsResponse* response) override;
  grpc::Status WatchRun(grpc::ServerContext* context, const v1::WatchRunRequest* request,
                        grpc::ServerWriter<v1::WatchRunResponse>* writer) override;
  grpc::Status CancelRun(grpc::ServerContext* context, const v1::CancelRunRequest* request,
                         v1::CancelRunResponse* response) override;
  grpc::Status UpdateRun(grpc::ServerContext* context, const v1::UpdateRunRequest* request,
                         v1::UpdateRunResponse* response) override;
  grpc::Status RollBackTeacher(grpc::ServerContext* context, const v1::RollBackTeacherRequest* request,
                               v1::RollBackTeacherResponse* response) override;
  grpc::Status ReadLog(grpc::ServerContext* context, const v1::ReadLogRequest* request,
                       grpc::ServerWriter<v1::ReadLogResponse>* writer) override;

 private:
  Scheduler& scheduler_;
  SharedViews views_;
  StreamPlaces streams_;
  std::atomic<bool> ending_{false};
};

}  // namespace ferment::coordinator
