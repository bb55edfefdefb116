// SPDX-License-Identifier: Apache-2.0
//
// What a rank's training says of itself, where its watch reads it.
#pragma once

#include <chrono>
#include <cstdint>

#include "common/base/mutex.h"
#include "common/metrics/distribution.h"

namespace ferment::worker {

enum class Activity : std::uint8_t { kStarting, kPreparing, kStepping, kSaving, kFinishing, kLeaving };
enum class Verb : std::uint8_t { kNone, kAllReduce, kBroadcast, kAllGather, kBarrier, kSplit };

/// Returns: a word for logs, such as "stepping"; "unknown" for a number that is none of these.
const char* NameOf(Activity activity);
const char* NameOf(Verb verb);

/// A rank at one moment. A value, and the same bytes on every rank of a job.
struct RankSign {
  /// Next or present step.
  std::uint64_t step = 0;
  /// Collectives that were begun since the start, this rank's own count: ranks of two groups have different ones.
  std::uint64_t collectives = 0;
  /// Processor time of all threads but the watch's.
  std::uint64_t cpu_microseconds = 0;
  Activity activity = Activity::kStarting;
  /// The last collective that was begun.
  Verb verb = Verb::kNone;
  /// Inside of it.
  bool waiting = false;
  /// A thread waits for a disk.
  bool at_disk = false;
};

/// Guarded: written by the threads that train, read by the watch's.
class RankBoard {
 public:
  void Enter(Activity activity);
  void EnterStep(std::uint64_t step);
  /// Calls may nest: the count goes on, `waiting` ends with the outermost, and its time is what is taken.
  void BeginCollective(Verb verb);
  void EndCollective();
  /// Returns: all but cpu_microseconds and at_disk.
  RankSign Sign() const;
  /// Returns: seconds within collectives since the start, by metrics::kCollectiveSecondsBounds.
  metrics::Distribution CollectiveSeconds() const;

 private:
  mutable Mutex mutex_;
  RankSign sign_ FERMENT_GUARDED_BY(mutex_);
  int depth_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point begun_ FERMENT_GUARDED_BY(mutex_);
  metrics::Distribution collective_seconds_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::worker
