// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/run_retention.h"

#include <algorithm>
#include <variant>

namespace ferment::coordinator {
namespace {

/// To forget one is to look through all that is known of requests: nobody is held up by thousands at once, as when
/// --keep-runs was lowered.
constexpr std::size_t kAtOnce = 8;

}  // namespace

void RunRetention::Restore(const JobBook& book, MonotonicTime now) {
  for (const std::string& run_id : book.run_order()) {
    if (book.FindRun(run_id)->state != RunState::kRunning) ended_.push_back({run_id, now});
  }
  std::ranges::stable_sort(ended_, {}, [&](const Ended& one) { return book.FindRun(one.run_id)->ended_wall_ms; });
}

void RunRetention::Note(const Event& event, MonotonicTime now) {
  if (const auto* end = std::get_if<RunEnded>(&event)) ended_.push_back({end->run_id, now});
  if (const auto* reopened = std::get_if<RunReopened>(&event)) {
    std::erase_if(ended_, [&](const Ended& one) { return one.run_id == reopened->run_id; });
  }
}

std::vector<std::string> RunRetention::TakeDue(MonotonicTime now) {
  std::vector<std::string> due;
  while (ended_.size() > rule_.runs && now - ended_.front().at >= rule_.least && due.size() < kAtOnce) {
    due.push_back(std::move(ended_.front().run_id));
    ended_.pop_front();
  }
  return due;
}

const std::string* RunRetention::EndedBefore(std::size_t others) const {
  return others < ended_.size() ? &ended_[ended_.size() - 1 - others].run_id : nullptr;
}

}  // namespace ferment::coordinator
