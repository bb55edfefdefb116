// SPDX-License-Identifier: Apache-2.0
//
// Simulated time: what happens, in the order of (time, sequence), on one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace ferment::simulation {

/// Since the history began.
using SimTime = std::chrono::microseconds;

class SimQueue {
 public:
  SimTime now() const { return now_; }
  void At(SimTime time, std::function<void()> act) {
    heap_.push_back({std::max(time, now_), sequence_++, std::move(act)});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  void After(SimTime delay, std::function<void()> act) { At(now_ + delay, std::move(act)); }

  /// Returns: false when nothing is left to happen.
  bool RunNext() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    const Item item = std::move(heap_.back());
    heap_.pop_back();
    now_ = item.time;
    item.act();
    return true;
  }

 private:
  struct Item {
    SimTime time;
    std::uint64_t sequence;
    std::function<void()> act;
  };
  static bool Later(const Item& a, const Item& b) {
    return a.time != b.time ? a.time > b.time : a.sequence > b.sequence;
  }

  SimTime now_{0};
  std::uint64_t sequence_ = 0;
  std::vector<Item> heap_;
};

}  // namespace ferment::simulation
