// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_board.h"

namespace ferment::worker {

const char* NameOf(Activity activity) {
  switch (activity) {
    case Activity::kStarting:
      return "starting";
    case Activity::kPreparing:
      return "preparing";
    case Activity::kStepping:
      return "stepping";
    case Activity::kSaving:
      return "saving";
    case Activity::kFinishing:
      return "finishing";
    case Activity::kLeaving:
      return "leaving";
  }
  return "unknown";
}

const char* NameOf(Verb verb) {
  switch (verb) {
    case Verb::kNone:
      return "none";
    case Verb::kAllReduce:
      return "all-reduce";
    case Verb::kBroadcast:
      return "broadcast";
    case Verb::kAllGather:
      return "all-gather";
    case Verb::kBarrier:
      return "barrier";
    case Verb::kSplit:
      return "split";
  }
  return "unknown";
}

void RankBoard::Enter(Activity activity) {
  MutexLock lock(mutex_);
  sign_.activity = activity;
}

void RankBoard::EnterStep(std::uint64_t step) {
  MutexLock lock(mutex_);
  sign_.activity = Activity::kStepping;
  sign_.step = step;
}

void RankBoard::BeginCollective(Verb verb) {
  MutexLock lock(mutex_);
  ++sign_.collectives;
  sign_.verb = verb;
  if (depth_++ == 0) begun_ = std::chrono::steady_clock::now();
}

void RankBoard::EndCollective() {
  MutexLock lock(mutex_);
  if (--depth_ > 0) return;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun_;
  collective_seconds_.Observe(seconds.count(), metrics::kCollectiveSecondsBounds);
}

RankSign RankBoard::Sign() const {
  MutexLock lock(mutex_);
  RankSign sign = sign_;
  sign.waiting = depth_ > 0;
  return sign;
}

metrics::Distribution RankBoard::CollectiveSeconds() const {
  MutexLock lock(mutex_);
  return collective_seconds_;
}

}  // namespace ferment::worker
