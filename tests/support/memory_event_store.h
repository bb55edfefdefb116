// SPDX-License-Identifier: Apache-2.0
//
// An event store in memory; its log outlives it, as a disk outlives a process.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "coordinator/store/event_store.h"

namespace ferment::testing {

/// What is "on disk".
struct MemoryLog {
  std::vector<coordinator::Event> events;
  std::uint64_t term = 0;
  /// The next append fails with this.
  Status fail_next;
};

class MemoryEventStore final : public coordinator::EventStore {
 public:
  explicit MemoryEventStore(std::shared_ptr<MemoryLog> log) : log_(std::move(log)), term_(++log_->term) {}

  std::uint64_t term() const override { return term_; }

  Status Append(std::span<const coordinator::Event> events) override {
    if (!failed_.ok()) return failed_;
    failed_ = std::exchange(log_->fail_next, Status());
    if (failed_.ok() && log_->term != term_) failed_ = Fenced();
    if (failed_.ok()) log_->events.insert(log_->events.end(), events.begin(), events.end());
    return failed_;
  }

  Status Confirm() override {
    if (failed_.ok() && log_->term != term_) failed_ = Fenced();
    return failed_;
  }

  Status Replace(const std::function<Status(const coordinator::EventSink&)>& write) override {
    FERMENT_RETURN_IF_ERROR(Confirm());
    std::vector<coordinator::Event> events;
    failed_ = write([&](const coordinator::Event& event) {
      events.push_back(event);
      return Status();
    });
    FERMENT_RETURN_IF_ERROR(failed_);
    log_->events = std::move(events);
    return {};
  }

  Status Replay(const coordinator::EventSink& visit) override {
    for (const coordinator::Event& event : log_->events) FERMENT_RETURN_IF_ERROR(visit(event));
    return {};
  }

 private:
  static Status Fenced() { return AbortedError("a newer coordinator owns the store").WithExitCode(exit_code::kFenced); }

  std::shared_ptr<MemoryLog> log_;
  std::uint64_t term_;
  Status failed_;
};

}  // namespace ferment::testing
