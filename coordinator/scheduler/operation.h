// SPDX-License-Identifier: Apache-2.0
//
// A request on its way through the coordinator, and what it is about.
#pragma once

#include <functional>

#include "common/base/status.h"

namespace ferment::coordinator {

/// A request: what decides it, and what tells the caller.
struct Operation {
  std::function<void()> decide;
  /// Gets OK once the batch is saved, else why not. Empty for the coordinator's own work.
  std::function<void(const Status&)> answer;
};

enum class RequestKind {
  /// The coordinator's own: never refused.
  kOwn,
  /// Says what became of work that somebody holds, or is an operator's command. Decided also when its caller has gone:
  /// it is as true as before.
  kHeldWork,
  /// Asks how things are. These two are dropped when their caller gave up before they were decided.
  kLookup,
  /// Asks for something to do. Refused while draining.
  kNewWork,
};

}  // namespace ferment::coordinator
