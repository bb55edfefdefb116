// SPDX-License-Identifier: Apache-2.0
//
// What a rank did when: spans of its training thread and of its collectives, for a timeline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/mutex.h"

namespace ferment::worker {

/// Where a span is drawn.
enum class TraceRow : std::uint8_t { kTraining, kCollectives, kSums };

struct TracedSpan {
  /// A string literal.
  const char* name = "";
  TraceRow row = TraceRow::kTraining;
  /// Since Trace::StartNow.
  std::chrono::nanoseconds begin{0};
  std::chrono::nanoseconds end{0};
  /// A step's number, or a collective's bytes; -1: none.
  std::int64_t amount = -1;
};

/// Thread: any. Guarded: all by the mutex.
class Trace {
 public:
  using Clock = std::chrono::steady_clock;

  /// Spans past `limit` are counted and forgotten.
  explicit Trace(std::size_t limit = 400'000) : limit_(limit) {}

  /// Makes this moment 0. Ranks that call it as they leave a barrier share a clock, to within what the barrier takes.
  void StartNow();
  /// Requires: begin and end after StartNow.
  void Add(const char* name, TraceRow row, Clock::time_point begin, Clock::time_point end, std::int64_t amount = -1);

  std::vector<TracedSpan> Spans() const;
  std::uint64_t forgotten() const;

 private:
  const std::size_t limit_;
  mutable Mutex mutex_;
  Clock::time_point start_ FERMENT_GUARDED_BY(mutex_) = Clock::now();
  std::vector<TracedSpan> spans_ FERMENT_GUARDED_BY(mutex_);
  std::uint64_t forgotten_ FERMENT_GUARDED_BY(mutex_) = 0;
};

/// A span from here to the end of the scope. Costs nothing where `trace` is null.
class TraceScope {
 public:
  TraceScope(Trace* trace, const char* name, std::int64_t amount = -1)
      : TraceScope(trace, name, TraceRow::kTraining, amount) {}
  TraceScope(Trace* trace, const char* name, TraceRow row, std::int64_t amount)
      : trace_(trace), name_(name), row_(row), amount_(amount) {
    if (trace_ != nullptr) begin_ = Trace::Clock::now();
  }
  ~TraceScope() {
    if (trace_ != nullptr) trace_->Add(name_, row_, begin_, Trace::Clock::now(), amount_);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* const trace_;
  const char* const name_;
  const TraceRow row_;
  const std::int64_t amount_;
  Trace::Clock::time_point begin_;
};

}  // namespace ferment::worker
