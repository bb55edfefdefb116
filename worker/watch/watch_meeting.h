// SPDX-License-Identifier: Apache-2.0
//
// How the ranks of a job find each other's watches: over their collective, once, at the start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/watch/watch_link.h"

namespace ferment::worker {

struct RankName {
  std::string host;
  std::int64_t pid = 0;
};

struct WatchMeeting {
  /// By rank.
  std::vector<RankName> names;
  /// On rank 0 by rank, its own null; on the others one, to rank 0.
  std::vector<std::unique_ptr<WatchLink>> links;
};

/// Every rank calls: each connects to rank 0, on whichever of its host's addresses answers with the job's cookie.
/// Returns the same kind of outcome on every rank. Errors: Unavailable, naming the rank and the addresses that it
/// tried; those of the collective.
Result<WatchMeeting> MeetForWatch(Collective& world);

}  // namespace ferment::worker
