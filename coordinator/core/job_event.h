// SPDX-License-Identifier: Apache-2.0
//
// Everything that can change what the coordinator knows, one plain struct a kind; the log is a list of these.
#pragma once

#include <variant>

#include "coordinator/core/run_event.h"
#include "coordinator/core/shard_event.h"
#include "coordinator/core/snapshot_event.h"
#include "coordinator/core/trainer_event.h"

namespace ferment::coordinator {

/// The order of the alternatives is nobody's business: event_codec names each on disk.
using Event = std::variant<RunSubmitted, RunReopened, RunCancelRequested, RunEnded, AttemptIntended, AttemptLaunched,
                           TokenTaken, JobCompleted, JobFailureReported, AttemptExited, ShardsPlanned, JobEnded,
                           LabelerRegistered, ShardLeased, ShardReleased, ShardCommitted, ShardFailed, TeacherTripped,
                           LabelerForgotten, RunRestored, ShardsRestored, LabelerRestored, RequestsRestored, RunUpdated,
                           LabelerReturned, ShardCondemned, RunForgotten, ForgottenRestored>;

/// Returns: whether it is one of snapshot_event.h.
bool OfSnapshot(const Event& event);

}  // namespace ferment::coordinator
