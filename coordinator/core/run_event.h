// SPDX-License-Identifier: Apache-2.0
//
// Events of a run as a whole, and of what people want of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/job.h"

namespace ferment::coordinator {

struct RunSubmitted {
  std::string run_id;
  std::string request_id;
  std::string name;
  std::string run_dir;
  /// Serialized ferment.v1.RunSpec; opaque here.
  std::string spec;
  std::vector<PlannedJob> jobs;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunSubmitted&, const RunSubmitted&) = default;
};

/// A failed or cancelled run goes on: what did not end well is pending again; what was finished stays.
struct RunReopened {
  std::string run_id;
  std::string request_id;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunReopened&, const RunReopened&) = default;
};

/// Of a run that has ended it changes nothing; it is logged so that the same request is known when it comes again.
struct RunCancelRequested {
  std::string run_id;
  std::string request_id;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunCancelRequested&, const RunCancelRequested&) = default;
};

/// What is absent stays as it was.
struct RunUpdated {
  std::string run_id;
  std::string request_id;
  std::optional<bool> suspended;
  std::optional<std::int32_t> priority;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunUpdated&, const RunUpdated&) = default;
};

struct RunEnded {
  std::string run_id;
  RunState state = RunState::kSucceeded;
  Failure failure;
  std::int64_t wall_ms = 0;
  friend bool operator==(const RunEnded&, const RunEnded&) = default;
};

/// A run that ended long ago is known no more, nor are the requests that made and changed it. Its folder stays.
struct RunForgotten {
  std::string run_id;
  friend bool operator==(const RunForgotten&, const RunForgotten&) = default;
};

}  // namespace ferment::coordinator
