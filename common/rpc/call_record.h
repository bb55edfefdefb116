// SPDX-License-Identifier: Apache-2.0
//
// What a server tells about each call once its outcome is known: for the audit log and for metrics.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/base/status.h"

namespace ferment::rpc {

struct CallRecord {
  /// Such as "ferment.v1.RunService/GetRun"; "unknown" for what the policy does not know.
  std::string method = {};
  /// As Caller::who; empty where nobody could be told, "local" on a server without TLS.
  std::string who = {};
  std::string role = {};
  /// The run that the request or its answer names; empty where none does.
  std::string run = {};
  Status outcome = {};
  std::chrono::nanoseconds duration{0};
  /// The policy wants a line of it in the audit log.
  bool audited = false;
  /// Turned away before it reached its service.
  bool refused = false;
  /// Only counted: one of too many refusals in a short time.
  bool flooding = false;
  bool stream = false;
};

/// Called before the answer goes out, on whatever thread answers. Must not block for long.
using CallSink = std::function<void(const CallRecord&)>;

}  // namespace ferment::rpc
