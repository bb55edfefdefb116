// SPDX-License-Identifier: Apache-2.0
//
// The port of the coordinator's log: append a batch durably, read all back in order, replace all by a snapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "common/base/result.h"
#include "coordinator/core/job_event.h"

namespace ferment::coordinator {

using EventSink = std::function<Status(const Event&)>;

/// One store has one writer: opening it starts a new term, and every append asserts that the term is still the latest.
///
/// Thread: all calls but Confirm come from one thread at a time.
class EventStore {
 public:
  virtual ~EventStore() = default;
  /// Returns: the term that opening began; it is larger than any before.
  virtual std::uint64_t term() const = 0;
  /// Appends all or none, and returns when they will survive a power cut. After a failure every later call fails too: a
  /// repeated sync may claim what the first one lost.
  /// Errors: Aborted with exit code 202: a newer term owns the store. Internal with 204: no space, or the sync failed.
  virtual Status Append(std::span<const Event> events) = 0;
  /// Asks whether this term is still the latest. OK says that it was at some instant of the call: what was known before
  /// the call was all there was to know; and whoever leads later has not begun yet. A failure is final, as Append's.
  /// Errors: Aborted with exit code 202: a newer term owns the store; Append's. Thread: any.
  virtual Status Confirm() = 0;
  /// Replaces the whole log by what `write` gives its argument, event by event: all or none, durably, and as this
  /// term's. `write` may be called again. Errors: those of `write`; Append's, and final as those.
  virtual Status Replace(const std::function<Status(const EventSink&)>& write) = 0;
  /// Calls `visit` with every event since the beginning, in order; stops at its first failure and returns it.
  /// Errors: DataLoss: a row cannot be read, or is missing between others. FailedPrecondition with 78: a newer version
  /// wrote it.
  virtual Status Replay(const EventSink& visit) = 0;
};

}  // namespace ferment::coordinator
