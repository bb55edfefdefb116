// SPDX-License-Identifier: Apache-2.0
//
// Judges which rank of a job is dead, stopped or stuck, from what the ranks say of themselves.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "common/base/clock.h"
#include "worker/watch/rank_board.h"

namespace ferment::worker {

struct WatchLimits {
  /// A rank whose connection closed without a farewell is dead after this; above 0 it leaves the first word to another.
  std::chrono::milliseconds farewell{0};
  /// A rank that says nothing for this long is stopped: 15 beats, which no busy machine swallows. More costs minutes of
  /// all ranks, less ends jobs over a hiccup of the network.
  std::chrono::milliseconds silence{15'000};
  /// A rank that sleeps in the middle of a step, or of a collective, while all others wait is stuck after this.
  std::chrono::milliseconds idle{20'000};
  /// One that works, saves or evaluates while others wait is named after this, and the job goes on.
  std::chrono::milliseconds patience{25'000};
  /// It is stuck after this: just before their collective gives up,
  /// so that it is named.
  std::chrono::milliseconds wait{295'000};
  /// Calls of Judge further apart than this show that the judge itself did not run; then all silence starts anew.
  std::chrono::milliseconds late{4'000};
};

enum class Fate { kDead, kStopped, kStuck };

/// Returns: "dead", "stopped" or "stuck".
const char* NameOf(Fate fate);

struct Verdict {
  int rank = 0;
  Fate fate = Fate::kDead;
  /// Since the rank was last heard of, or last moved.
  std::chrono::milliseconds since{0};
  RankSign last = {};
};

/// Rows 0..size-1, one a rank.
///
/// Stuck is a rank that is in no collective and has changed neither step, collective nor activity, while another waits;
/// or one that sleeps inside of a collective in which others poll. Numbers of two ranks are never compared: the groups
/// of a split job run different collectives. Where all wait alike there is nobody to name, and the collective's own
/// deadline ends the job.
///
/// Pure: time comes with the calls. Thread: one at a time.
class RankTable {
 public:
  RankTable(int size, const WatchLimits& limits, MonotonicTime now);

  void HearSign(int rank, const RankSign& sign, MonotonicTime now);
  /// The rank leaves in good order: it is not judged any more.
  void HearFarewell(int rank);
  /// Its connection is closed. Means nothing after a farewell.
  void HearEnd(int rank, MonotonicTime now);
  bool AllHaveLeft() const;
  /// Returns: by rank, since when it has moved neither step nor collective nor activity; 0 of one that has left.
  std::vector<double> IdleSeconds(MonotonicTime now) const;

  /// Call about once a second, after everything that was heard. Returns: the rank that ends the job, the dead before
  /// the stopped before the stuck, and of each the one that has been so for longest.
  std::optional<Verdict> Judge(MonotonicTime now);
  /// Returns: a rank in no collective that others have been waiting for, once until it moves. Ends nothing.
  std::optional<Verdict> NewlyAwaited(MonotonicTime now);

 private:
  struct Row {
    RankSign sign;
    MonotonicTime heard;
    /// Step, collective, activity or waiting changed.
    MonotonicTime moved;
    /// As `moved`, or processor time was used, or a disk waited for.
    MonotonicTime worked;
    std::optional<MonotonicTime> ended;
    bool left = false;
    /// NewlyAwaited has told since it moved.
    bool told = false;
  };

  Row& RowOf(int rank) { return rows_[static_cast<std::size_t>(rank)]; }
  void Forgive(MonotonicTime now);
  std::optional<Verdict> JudgeDead(MonotonicTime now) const;
  std::optional<Verdict> JudgeStopped(MonotonicTime now) const;
  std::optional<Verdict> JudgeIdle(MonotonicTime now) const;
  /// Returns: the rank that has been in no collective for `limit` or longest, while another has been in one as long.
  std::optional<Verdict> Awaited(MonotonicTime now, std::chrono::milliseconds limit) const;

  const WatchLimits limits_;
  std::vector<Row> rows_;
  MonotonicTime judged_;
};

}  // namespace ferment::worker
