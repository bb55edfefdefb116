// SPDX-License-Identifier: Apache-2.0
//
// Bounds the streams that are open at a time: each is written to, and holds what its reader has not taken.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/base/result.h"

namespace ferment::coordinator {

/// Thread: any. Outlives its places.
class StreamPlaces {
 public:
  explicit StreamPlaces(int limit) : limit_(limit) {}

  struct GiveBack {
    void operator()(std::atomic<int>* taken) const { --*taken; }
  };
  /// One open stream, until destruction.
  using Place = std::unique_ptr<std::atomic<int>, GiveBack>;

  /// Errors: ResourceExhausted where all are taken.
  Result<Place> Take() {
    Place place(&taken_);
    const int open = taken_++;
    if (open < limit_) return place;
    return Fail(ResourceExhaustedError("too many streams are open; come back in a moment: open=" +
                                       std::to_string(open) + " limit=" + std::to_string(limit_)));
  }

 private:
  const int limit_;
  std::atomic<int> taken_{0};
};

}  // namespace ferment::coordinator
