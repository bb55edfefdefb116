// SPDX-License-Identifier: Apache-2.0
//
// Events of trainer jobs: their attempts, the run token, results.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// The next attempt is about to be launched. Stands in the log before the launch.
struct AttemptIntended {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  std::int64_t wall_ms = 0;
  friend bool operator==(const AttemptIntended&, const AttemptIntended&) = default;
};

struct AttemptLaunched {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  friend bool operator==(const AttemptLaunched&, const AttemptLaunched&) = default;
};

struct TokenTaken {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  std::uint64_t token = 0;
  std::string incarnation;
  std::string host;
  std::int64_t pid = 0;
  friend bool operator==(const TokenTaken&, const TokenTaken&) = default;
};

struct JobCompleted {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  Usage usage;
  std::vector<ModelFile> models;
  std::map<std::string, double> metrics;
  friend bool operator==(const JobCompleted&, const JobCompleted&) = default;
};

/// The trainer says why it cannot go on; its exit follows.
struct JobFailureReported {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  Failure failure;
  friend bool operator==(const JobFailureReported&, const JobFailureReported&) = default;
};

struct AttemptExited {
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 0;
  int exit_code = 0;
  /// It left because the coordinator asked it to; no failure, whatever the code.
  bool stopped = false;
  friend bool operator==(const AttemptExited&, const AttemptExited&) = default;
};

}  // namespace ferment::coordinator
