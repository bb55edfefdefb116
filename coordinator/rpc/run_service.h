// SPDX-License-Identifier: Apache-2.0
//
// RunService over gRPC: translation only; run_service.proto says what each method promises.
#pragma once

#include "coordinator/desks/task_runner.h"
#include "coordinator/rpc/caller_check.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/rpc/run_news.h"
#include "coordinator/rpc/run_streams.h"
#include "coordinator/rpc/stream_places.h"
#include "coordinator/scheduler/scheduler.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::coordinator {

/// No thread waits in a call. Thread: any. Scheduler and authenticator, which is null without TLS, outlive it.
class RunServiceImpl final : public v1::RunService::CallbackService {
 public:
  explicit RunServiceImpl(Scheduler& scheduler, RequestDoor& door, const rpc::Authenticator* authenticator = nullptr,
                          int max_streams = kMaxStreams)
      : scheduler_(scheduler), door_(door), callers_(authenticator), streams_(max_streams), news_(scheduler) {}

  static constexpr int kMaxStreams = 512;

  /// Ends the streams that are being followed; call before shutting the server down.
  void EndStreams() { news_.End(); }

  grpc::ServerUnaryReactor* SubmitRun(grpc::CallbackServerContext* context, const v1::SubmitRunRequest* received,
                                      v1::SubmitRunResponse* response) override;
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context, const v1::GetRunRequest* received,
                                   v1::GetRunResponse* response) override;
  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext* context, const v1::ListRunsRequest* received,
                                     v1::ListRunsResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchRunResponse>* WatchRun(grpc::CallbackServerContext* context,
                                                           const v1::WatchRunRequest* received) override;
  grpc::ServerUnaryReactor* CancelRun(grpc::CallbackServerContext* context, const v1::CancelRunRequest* received,
                                      v1::CancelRunResponse* response) override;
  grpc::ServerUnaryReactor* UpdateRun(grpc::CallbackServerContext* context, const v1::UpdateRunRequest* received,
                                      v1::UpdateRunResponse* response) override;
  grpc::ServerUnaryReactor* RollBackTeacher(grpc::CallbackServerContext* context,
                                            const v1::RollBackTeacherRequest* received,
                                            v1::RollBackTeacherResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadLogResponse>* ReadLog(grpc::CallbackServerContext* context,
                                                         const v1::ReadLogRequest* received) override;

 private:
  StreamParts PartsOf(const grpc::CallbackServerContext& context);

  Scheduler& scheduler_;
  RequestDoor& door_;
  const CallerCheck callers_;
  StreamPlaces streams_;
  /// Where logs are read; each may be on storage that does not answer.
  ThreadTaskRunner files_{4};
  RunNews news_;
};

}  // namespace ferment::coordinator
