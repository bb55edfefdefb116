// SPDX-License-Identifier: Apache-2.0
//
// How a trainer job talks to whoever runs it: takes its token, reports progress, says how it ended.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/metrics/distribution.h"

namespace ferment::worker {

/// One published model of result.json.
struct PublishedModel {
  std::string role;
  /// Relative to the run folder.
  std::string file;
  std::string sha256;
};

struct JobProgress {
  std::uint64_t step = 0;
  std::uint64_t total_steps = 0;
  /// Faces, windows or frames seen since the job's first step, over all ranks.
  std::uint64_t samples = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::map<std::string, double> metrics;
  /// By the names of trainer_service.proto: all since this process started.
  std::map<std::string, metrics::Distribution> distributions = {};
};

struct JobResult {
  JobProgress last;
  std::vector<PublishedModel> models;
};

/// Used by rank 0 only. Thread: one at a time, but for ReportRanks and ReportFailure.
class RunClient {
 public:
  virtual ~RunClient() = default;
  /// Takes the run token. Call before the first write. Errors: Aborted (202): another process is the job.
  virtual Status Acquire() = 0;
  /// Returns: what Acquire took; larger than those of all former trainers of the job. 0: nobody gives out tokens.
  virtual std::uint64_t token() const = 0;
  /// Never blocks and never fails; the newest report replaces one that is still waiting.
  virtual void Report(const JobProgress& progress) = 0;
  /// By rank, since when it has moved neither step nor collective nor activity. Goes along with the next report, and
  /// where none came since the last call with the last one again, so that ranks that wait for one are heard of all the
  /// same. Call about once a second. Never blocks. Thread: any.
  virtual void ReportRanks(const std::vector<double>& idle_seconds) = 0;
  /// Returns: whether the job was asked to checkpoint and leave with 143.
  virtual bool StopRequested() const = 0;
  /// Returns: Aborted once a report was answered with "not your token"; ok before.
  virtual Status Fenced() const = 0;
  /// Call after result.json is on disk. Errors: Aborted, Unavailable after the retries.
  virtual Status Complete(const JobResult& result) = 0;
  /// Says why the process is about to leave with `exit_code`; errors are of no more use. Thread: any, even while
  /// another is inside of a method.
  virtual void ReportFailure(int exit_code, std::string_view message) = 0;
};

}  // namespace ferment::worker
