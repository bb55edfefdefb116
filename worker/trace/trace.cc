// SPDX-License-Identifier: Apache-2.0
#include "worker/trace/trace.h"

namespace ferment::worker {

void Trace::StartNow() {
  MutexLock lock(mutex_);
  start_ = Clock::now();
}

void Trace::Add(const char* name, TraceRow row, Clock::time_point begin, Clock::time_point end, std::int64_t amount) {
  MutexLock lock(mutex_);
  if (spans_.size() < limit_) {
    spans_.push_back({name, row, begin - start_, end - start_, amount});
  } else {
    ++forgotten_;
  }
}

std::vector<TracedSpan> Trace::Spans() const {
  MutexLock lock(mutex_);
  return spans_;
}

std::uint64_t Trace::forgotten() const {
  MutexLock lock(mutex_);
  return forgotten_;
}

}  // namespace ferment::worker
