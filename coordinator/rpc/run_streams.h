// SPDX-License-Identifier: Apache-2.0
//
// The two streams of RunService: how a run goes, and what a job writes. None holds a thread while nothing happens.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>

#include "common/base/result.h"
#include "coordinator/desks/task_runner.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/rpc/run_news.h"
#include "coordinator/rpc/stream_places.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::coordinator {

/// What a stream is given beside its request; outlives it, `may_go_on` aside.
struct StreamParts {
  StreamPlaces& places;
  RunNews& news;
  /// Asked with each look and each part of a log: where it fails, the stream ends with that.
  std::function<Status()> may_go_on;
};

/// Both are owned by gRPC, and end with the request's error where it has one, with ResourceExhausted where there is no
/// place.

/// Sends each state of the run that is new when it is looked at, until the run ends.
grpc::ServerWriteReactor<v1::WatchRunResponse>* StartWatch(const RequestDoor::OrRefusal<v1::WatchRunRequest>& request,
                                                           StreamParts parts);

/// Sends the log, which is read on `files`, from the offset on; with `follow` until the job has ended.
grpc::ServerWriteReactor<v1::ReadLogResponse>* StartReadLog(const RequestDoor::OrRefusal<v1::ReadLogRequest>& request,
                                                            StreamParts parts, TaskRunner& files);

}  // namespace ferment::coordinator
