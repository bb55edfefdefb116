// SPDX-License-Identifier: Apache-2.0
//
// What waits for the scheduler: a flood of questions does not hold up those who have work in hand, nor the reverse.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "coordinator/scheduler/operation.h"

namespace ferment::coordinator {

/// Two lines, each first come, first served: held work with the coordinator's own, and all the rest.
///
/// Either may fill three quarters of the limit, so that a quarter is left for the other. A batch begins with held work
/// and leaves a quarter of its places to the rest, or as many as wait there.
///
/// A value; whoever has it locks.
class RequestQueue {
 public:
  /// Requires: at least 4.
  explicit RequestQueue(std::size_t limit) : limit_(limit), line_limit_(limit - limit / 4) {}

  bool HasRoomFor(RequestKind kind) const;
  /// Takes it whether there is room or not.
  void Push(RequestKind kind, Operation operation);
  /// Returns: those that are next, at most `most`. Requires: `most` is 2 or more, or a line could wait for ever.
  std::vector<Operation> Take(std::size_t most);

  std::size_t size() const { return held_.size() + rest_.size(); }
  bool empty() const { return held_.empty() && rest_.empty(); }

 private:
  using Line = std::deque<Operation>;
  static bool OfHeldWork(RequestKind kind) { return kind == RequestKind::kOwn || kind == RequestKind::kHeldWork; }
  static void Move(Line& from, std::size_t count, std::vector<Operation>& to);

  std::size_t limit_;
  std::size_t line_limit_;
  Line held_;
  Line rest_;
};

}  // namespace ferment::coordinator
