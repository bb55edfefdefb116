// SPDX-License-Identifier: Apache-2.0
//
// Stands between a client and the coordinator on loopback: passes bytes on late, holds them back, cuts connections.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/event/event_loop.h"

namespace ferment::chaos {

struct LinkFaults {
  /// Every chunk arrives so much later.
  std::chrono::milliseconds delay{0};
  /// Nothing arrives in this direction; what was sent waits, as the sender's TCP would try again, until the fault ends.
  bool hold_to_server = false;
  bool hold_to_client = false;
  /// New connections are closed at once.
  bool refuse = false;
};

enum class CutKind { kClose, kReset };

/// Listens on a port of its own from construction to destruction. What is held when connections are cut is lost: that
/// makes a request that never came, or an answer that never came back.
///
/// Thread: any, but for `target`, which is called on `loop`. Both outlive it.
class FaultRelay {
 public:
  /// `target` says to which port of loopback a new connection goes; 0: to none.
  static Result<std::unique_ptr<FaultRelay>> Start(event::EventLoop& loop, std::function<std::uint16_t()> target);
  ~FaultRelay();
  FaultRelay(const FaultRelay&) = delete;
  FaultRelay& operator=(const FaultRelay&) = delete;

  std::string address() const;
  void Set(const LinkFaults& faults);
  void CutAll(CutKind kind);
  /// Connections so far.
  std::uint64_t connections() const;

 private:
  struct Impl;
  explicit FaultRelay(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferment::chaos
