// SPDX-License-Identifier: Apache-2.0
//
// Makes numbered items ahead of time on several threads and hands them out in order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/mutex.h"

namespace ferment::labeler {

/// At most `threads` + 1 items are made or waiting at a time. Destruction waits for the items in the making.
/// Thread: Next on one thread. Requires: what `make` refers to outlives it.
template <typename Item>
class OrderedPrefetch {
 public:
  OrderedPrefetch(std::uint64_t count, int threads, std::function<Item(std::uint64_t)> make)
      : count_(count), ahead_(static_cast<std::uint64_t>(threads) + 1), make_(std::move(make)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~OrderedPrefetch() {
    const MutexLock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  OrderedPrefetch(const OrderedPrefetch&) = delete;
  OrderedPrefetch& operator=(const OrderedPrefetch&) = delete;

  /// Returns: item 0, then 1, ... Requires: fewer than `count` calls before.
  Item Next() {
    const MutexLock lock(mutex_);
    changed_.wait(mutex_, [this] { return ready_.contains(taken_); });
    Item item = std::move(ready_.at(taken_));
    ready_.erase(taken_++);
    changed_.notify_all();
    return item;
  }

 private:
  void Work() {
    while (true) {
      std::uint64_t number = 0;
      {
        const MutexLock lock(mutex_);
        changed_.wait(mutex_, [this] { return closed_ || started_ >= count_ || started_ < taken_ + ahead_; });
        if (closed_ || started_ >= count_) return;
        number = started_++;
      }
      Item item = make_(number);
      const MutexLock lock(mutex_);
      ready_.emplace(number, std::move(item));
      changed_.notify_all();
    }
  }

  // Constant after construction.
  const std::uint64_t count_;
  const std::uint64_t ahead_;
  const std::function<Item(std::uint64_t)> make_;
  // Under mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::uint64_t started_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t taken_ FERMENT_GUARDED_BY(mutex_) = 0;
  bool closed_ FERMENT_GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, Item> ready_ FERMENT_GUARDED_BY(mutex_);
  // Last, so that they are joined before the rest goes.
  std::vector<std::jthread> threads_;
};

}  // namespace ferment::labeler
