// SPDX-License-Identifier: Apache-2.0
//
// Which of the runs that have ended are still remembered.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

struct RetentionRule {
  /// Of those that have ended, 0 to 1,000,000.
  std::size_t runs = 500;
  /// Since it ended, however many have ended after it. Requests that come twice, and whoever watches the run, find it:
  /// longer than any client asks again.
  std::chrono::milliseconds least = std::chrono::minutes(10);
};

/// A value without clock or I/O. Time is monotonic: those that had ended before Restore count from then.
class RunRetention {
 public:
  explicit RunRetention(RetentionRule rule) : rule_(rule) {}

  /// Takes all of the book that have ended, in the order in which they ended by the clocks of then.
  void Restore(const JobBook& book, MonotonicTime now);
  /// Takes what has happened; other events than ends and reopenings are nothing to it.
  void Note(const Event& event, MonotonicTime now);
  /// Returns: the next few that are to be forgotten, oldest end first. They are not named again.
  std::vector<std::string> TakeDue(MonotonicTime now);
  /// Returns: the run after which so many have ended, or nullptr.
  const std::string* EndedBefore(std::size_t others) const;

 private:
  struct Ended {
    std::string run_id;
    MonotonicTime at;
  };

  RetentionRule rule_;
  /// Oldest end first.
  std::deque<Ended> ended_;
};

}  // namespace ferment::coordinator
