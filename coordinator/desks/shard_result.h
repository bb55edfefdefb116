// SPDX-License-Identifier: Apache-2.0
//
// What a labeler brings for a shard, and whether it can be true.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/metrics/distribution.h"
#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

struct ShardResult {
  std::string request_id;
  std::string labeler_id;
  LeaseKey key;
  std::vector<ResultFile> files;
  RecordCounts counts;
  std::map<std::string, std::uint64_t> reasons;
  double seconds = 0;
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  CanaryCounts canaries = {};
  /// Share of labels in which the plan agreed with fp32; absent: it is fp32.
  std::optional<double> plan_agreement = {};
  /// Of the records that were not quarantined; empty: not told.
  metrics::Distribution confidence = {};
};

/// Returns: "run=... job=... shard=... epoch=...", for messages.
std::string NameOf(const LeaseKey& key);
/// Returns: "read=... labelled=... abstained=... quarantined=...", for messages.
std::string TextOf(const RecordCounts& counts);

/// The last request that a shard failed by is remembered with it. Errors: InvalidArgument (an id past 1 KiB).
Status CheckRequestId(const std::string& request_id, const LeaseKey& key);

/// Errors: DataLoss: the counts do not add up, or are not of this shard; no file; more canaries right than checked.
/// InvalidArgument: a name that holds a NUL, or lies outside the folders that the job has for results; more of what is
/// remembered of a shard than an honest result has: names, files, classes.
Status CheckResult(const Job& job, const Shard& shard, const ShardResult& result);

}  // namespace ferment::coordinator
