// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/request_queue.h"

#include <algorithm>
#include <utility>

namespace ferment::coordinator {

bool RequestQueue::HasRoomFor(RequestKind kind) const {
  if (kind == RequestKind::kOwn) return true;
  return size() < limit_ && (OfHeldWork(kind) ? held_ : rest_).size() < line_limit_;
}

void RequestQueue::Push(RequestKind kind, Operation operation) {
  (OfHeldWork(kind) ? held_ : rest_).push_back(std::move(operation));
}

std::vector<Operation> RequestQueue::Take(std::size_t most) {
  std::vector<Operation> batch;
  const std::size_t kept = std::min(rest_.size(), (most + 3) / 4);
  Move(held_, most - kept, batch);
  Move(rest_, most - batch.size(), batch);
  return batch;
}

void RequestQueue::Move(Line& from, std::size_t count, std::vector<Operation>& to) {
  const auto end = from.begin() + static_cast<std::ptrdiff_t>(std::min(count, from.size()));
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(end));
  from.erase(from.begin(), end);
}

}  // namespace ferment::coordinator
