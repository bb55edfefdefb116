// SPDX-License-Identifier: Apache-2.0
//
// The events of a snapshot: what a log that has grown long is replaced by. They stand at its beginning and give,
// applied to an empty book, what all the events before them gave.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/core/run_state.h"

namespace ferment::coordinator {

struct RunRestored {
  RunSummary run;
  std::vector<JobSummary> jobs;
  friend bool operator==(const RunRestored&, const RunRestored&) = default;
};

/// The next shards of this job, in order.
struct ShardsRestored {
  std::string run_id;
  std::string job_id;
  std::vector<Shard> shards;
  friend bool operator==(const ShardsRestored&, const ShardsRestored&) = default;
};

struct LabelerRestored {
  Labeler labeler;
  friend bool operator==(const LabelerRestored&, const LabelerRestored&) = default;
};

struct RequestsRestored {
  /// Request id -> run id, of submissions.
  std::map<std::string, std::string> submissions;
  /// Of what changed a run otherwise, likewise; no run id where a version that forgot no runs wrote it.
  std::map<std::string, std::string> changes;
  friend bool operator==(const RequestsRestored&, const RequestsRestored&) = default;
};

/// So many runs were submitted of which nothing is known any more.
struct ForgottenRestored {
  std::uint64_t runs = 0;
  friend bool operator==(const ForgottenRestored&, const ForgottenRestored&) = default;
};

}  // namespace ferment::coordinator
