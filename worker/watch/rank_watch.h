// SPDX-License-Identifier: Apache-2.0
//
// Ends a job in which a rank is dead, stopped or stuck, and says which; without it the others would wait for it.
#pragma once

#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "worker/watch/rank_table.h"
#include "worker/watch/watch_meeting.h"

namespace ferment::worker {

struct RankWatchOptions {
  WatchLimits limits;
  /// Between two signs of a rank; each is 80 bytes.
  std::chrono::milliseconds beat{1000};
  /// In the message, such as "cotrain".
  std::string job;
  /// Rank 0's: tells the coordinator. Called from the watch's thread, at most once.
  std::function<void(int exit_code, const std::string& message)> report = [](int, const std::string&) {};
  /// Rank 0's: RankTable::IdleSeconds, once a beat, from the watch's thread.
  std::function<void(const std::vector<double>& idle_seconds)> tell_idle = [](const std::vector<double>&) {};
  /// Ends this process without waiting for its threads, which may be stuck. A test's may return.
  std::function<void(int exit_code)> leave = [](int exit_code) { _exit(exit_code); };
};

/// Watches a job of two ranks or more. Rank 0 has a connection to each other rank and judges them by RankTable; the
/// others judge rank 0 alone, by its silence. What is said of a rank is from its last sign, up to a beat old. A verdict
/// is logged (rank_lost), reported, told to the other ranks, and ends every process: 201 for a dead rank, 203 for one
/// that is stopped or stuck. One that works on while others wait is first named by rank 0 in a warning (rank_awaited),
/// since it may be slow. A rank that names rank 0 says so to it before it leaves: a rank 0 that was stopped and
/// goes on takes that for its own verdict, and does not blame those who left.
///
/// Thread: one calls the methods; the watching goes on a thread of its own, which knows nothing of MPI.
class RankWatch {
 public:
  /// Every rank calls. Returns: null on every rank where one cannot reach rank 0 (logged as watch_off), or where there
  /// is no other: the job then goes on under the collective's deadline alone. `board` outlives it.
  static std::unique_ptr<RankWatch> Start(Collective& world, const RankBoard& board, RankWatchOptions options);
  /// For tests: goes on from a meeting.
  RankWatch(int rank, WatchMeeting meeting, const RankBoard& board, RankWatchOptions options);
  /// Says farewell and waits, at most half a minute, until the others have too; those that do not are judged as before.
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// Says that this rank ends the job with a failure of its own: from here on nobody judges anybody, since the deaths
  /// that follow are this rank's doing.
  void SayFailed(int exit_code);
  /// Gives the watch the first word on why a peer is lost: returns after `patience`, or not at all if it has one.
  void AwaitVerdict(std::chrono::milliseconds patience);

 private:
  bool leads() const { return rank_ == 0; }
  void Watch();
  /// Waits for frames until `until`.
  void Listen(MonotonicTime until);
  void Hear(std::size_t link, MonotonicTime now);
  void Beat(MonotonicTime now);
  bool Done(MonotonicTime now);
  void Tell(const WatchFrame& frame) const;
  void EndBy(const Verdict& verdict);
  void WarnOf(const Verdict& awaited) const;
  /// Rank 0's, by another's word.
  void EndAsNamed(const WatchFrame& word);
  std::string Describe(const Verdict& verdict) const;
  /// Wakes AwaitVerdict, after which this process ends by `Leave` alone.
  void HaveVerdict();
  void Leave(int code, const std::string& why);
  bool quiet() const;
  void BeQuiet();

  // Constant after construction.
  const int rank_;
  const WatchMeeting meeting_;
  const RankBoard& board_;
  const RankWatchOptions options_;
  const int wake_;
  // The thread's.
  RankTable table_;
  bool over_ = false;
  // Under mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  bool quiet_ FERMENT_GUARDED_BY(mutex_) = false;
  bool ending_ FERMENT_GUARDED_BY(mutex_) = false;
  MonotonicTime ending_since_ FERMENT_GUARDED_BY(mutex_);
  bool has_verdict_ FERMENT_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace ferment::worker
