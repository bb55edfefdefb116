// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/shard_result.h"

#include <algorithm>
#include <ranges>
#include <string_view>

#include "common/base/result.h"

namespace ferment::coordinator {
namespace {

/// Bytes.
constexpr std::size_t kLongestRequestId = 1024;
/// Of a file's name and of a digest, bytes.
constexpr std::size_t kLongestName = 255;
/// RunSpec.classes.
constexpr std::size_t kMostClasses = 8;

/// What stays of a shard for as long as its run is remembered has a size.
Status CheckSize(const Job& job, const ShardResult& result) {
  FERMENT_RETURN_IF_ERROR(CheckRequestId(result.request_id, result.key));
  if (result.counts.class_histogram.size() > kMostClasses) {
    return InvalidArgumentError("more classes than a run may have: " + NameOf(result.key) +
                                " limit=" + std::to_string(kMostClasses));
  }
  if (result.files.size() > job.work.models.size()) {
    return InvalidArgumentError("more files than the job has models: " + NameOf(result.key) +
                                " models=" + std::to_string(job.work.models.size()));
  }
  for (const ResultFile& file : result.files) {
    const std::size_t name = file.file.size() - (file.file.rfind('/') + 1);
    if (std::max(name, file.sha256.size()) > kLongestName) {
      return InvalidArgumentError("a file's name or digest is too long: " + NameOf(result.key) +
                                  " limit=" + std::to_string(kLongestName));
    }
  }
  return {};
}

/// Returns: whether the file lies right in a folder that the work has for results.
bool IsResultOf(const ShardWork& work, std::string_view file) {
  const std::size_t slash = file.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == file.size()) return false;
  return std::any_of(work.models.begin(), work.models.end(),
                     [&](const WorkModel& model) { return model.output_dir == file.substr(0, slash); });
}

/// Returns: the sum, or the largest number where that is past it.
std::uint64_t SumOf(const auto& counts) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts) {
    if (count > UINT64_MAX - sum) return UINT64_MAX;
    sum += count;
  }
  return sum;
}

}  // namespace

std::string NameOf(const LeaseKey& key) {
  return "run=" + key.run_id + " job=" + key.job_id + " shard=" + std::to_string(key.shard) +
         " epoch=" + std::to_string(key.epoch);
}

std::string TextOf(const RecordCounts& counts) {
  return "read=" + std::to_string(counts.read) + " labelled=" + std::to_string(counts.labelled) +
         " abstained=" + std::to_string(counts.abstained) + " quarantined=" + std::to_string(counts.quarantined);
}

Status CheckRequestId(const std::string& request_id, const LeaseKey& key) {
  if (request_id.size() <= kLongestRequestId) return {};
  return InvalidArgumentError("request_id is too long: " + NameOf(key) + " limit=" + std::to_string(kLongestRequestId));
}

Status CheckResult(const Job& job, const Shard& shard, const ShardResult& result) {
  const RecordCounts& counts = result.counts;
  if (!counts.Conserved()) {
    return DataLossError("read is not labelled + abstained + quarantined: " + NameOf(result.key) + " " +
                         TextOf(counts));
  }
  if (SumOf(result.reasons | std::views::values) > counts.quarantined) {
    return DataLossError("reasons are given for more records than were quarantined: " + NameOf(result.key) + " " +
                         TextOf(counts));
  }
  const bool label = job.plan.phase == Phase::kLabel;
  if (label && SumOf(counts.class_histogram) > counts.labelled) {
    return DataLossError("classes are given for more records than were labelled: " + NameOf(result.key) + " " +
                         TextOf(counts));
  }
  if (label && counts.read != shard.plan.record_count) {
    return DataLossError("not every record of the shard was read: " + NameOf(result.key) + " " + TextOf(counts) +
                         " records=" + std::to_string(shard.plan.record_count));
  }
  FERMENT_RETURN_IF_ERROR(CheckSize(job, result));
  if (result.files.empty()) return DataLossError("a commit without a file: " + NameOf(result.key));
  for (const ResultFile& file : result.files) {
    if ((file.file + file.sha256).find('\0') != std::string::npos) {
      return InvalidArgumentError("a file's name or digest holds a NUL: " + NameOf(result.key));
    }
    if (!IsResultOf(job.work, file.file)) {
      return InvalidArgumentError("a result lies in none of the job's folders: " + NameOf(result.key) +
                                  " file=" + file.file);
    }
  }
  if (result.canaries.correct > result.canaries.checked) {
    return DataLossError("more canaries are right than there are: " + NameOf(result.key) +
                         " correct=" + std::to_string(result.canaries.correct) +
                         " checked=" + std::to_string(result.canaries.checked));
  }
  return {};
}

}  // namespace ferment::coordinator
