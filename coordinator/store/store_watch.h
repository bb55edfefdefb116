// SPDX-License-Identifier: Apache-2.0
//
// Whether a store answers, for who must not ask it.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include "common/base/mutex.h"

namespace ferment::coordinator {

/// Thread: any; of Asked and Heard one at a time.
class StoreWatch {
 public:
  /// Something is asked of it. Until Heard it owes an answer, also where it is asked again.
  void Asked() {
    Clock::rep none = 0;
    asked_.compare_exchange_strong(none, Clock::now().time_since_epoch().count());
  }
  void Heard() {
    heard_ = true;
    asked_ = 0;
  }
  /// Returns: whether it has ever answered.
  bool heard() const { return heard_; }
  /// Returns: for how long it has owed an answer; 0 where it owes none.
  std::chrono::milliseconds Silence() const {
    const Clock::rep asked = asked_;
    if (asked == 0) return std::chrono::milliseconds(0);
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch() -
                                                                 Clock::duration(asked));
  }
  void SetPlace(std::string place) {
    const MutexLock lock(mutex_);
    place_ = std::move(place);
  }
  /// Returns: where it answers, as its users may know it.
  std::string place() const {
    const MutexLock lock(mutex_);
    return place_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::atomic<Clock::rep> asked_{0};
  std::atomic<bool> heard_{false};
  mutable Mutex mutex_;
  std::string place_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::coordinator
