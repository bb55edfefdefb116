// SPDX-License-Identifier: Apache-2.0
//
// The two streams of RunService: how a run goes, and what a job writes. None holds a thread while nothing happens.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "coordinator/rpc/run_news.h"
#include "coordinator/task_runner.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::coordinator {

/// Sends each state of the run that is new when it is looked at, until the run ends. Owned by gRPC; the news outlive
/// it.
grpc::ServerWriteReactor<v1::WatchRunResponse>* StartWatch(const v1::WatchRunRequest& request, RunNews& news);

/// Sends the log from the offset on; with `follow` until the job has ended. Owned by gRPC; the news and `files`, where
/// the log is read, outlive it.
grpc::ServerWriteReactor<v1::ReadLogResponse>* StartReadLog(const v1::ReadLogRequest& request, RunNews& news,
                                                            TaskRunner& files);

}  // namespace ferment::coordinator
