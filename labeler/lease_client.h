// SPDX-License-Identifier: Apache-2.0
//
// The port through which a labeler gets work and hands results back; lease_service.proto has the words.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/metrics/distribution.h"

namespace ferment::labeler {

struct LeaseKey {
  std::string run_id;
  std::string job_id;
  std::uint64_t shard = 0;
  std::uint64_t epoch = 0;
};

/// A network in the run folder and its sha256 in hex; `output_dir` is where its results go. Paths are absolute.
struct Model {
  std::filesystem::path file;
  std::string digest;
  std::filesystem::path output_dir;
};

struct LabelTask {
  std::string dataset;
  std::uint64_t first_record = 0;
  std::uint64_t record_count = 0;
  Model teacher;
  std::string label_config;
};

struct FeatureTask {
  std::string dataset;
  std::vector<std::string> videos;
  std::vector<Model> models;
};

struct Lease {
  LeaseKey key;
  std::chrono::milliseconds duration{0};
  std::filesystem::path run_dir;
  /// Shared by all leases of one run, because a spec is large and leases are many; WorkRunner knows a run by it.
  std::shared_ptr<const RunSpec> spec;
  std::variant<LabelTask, FeatureTask> work;
};

struct LeaseOffer {
  std::vector<Lease> leases;
  std::chrono::milliseconds retry_after{0};
  /// No work now or later.
  bool idle = false;
};

struct Counts {
  std::uint64_t read = 0;
  std::uint64_t labelled = 0;
  std::uint64_t abstained = 0;
  std::uint64_t quarantined = 0;
  /// Labelled records of each class.
  std::vector<std::uint64_t> classes;
};

/// Held-out labelled faces that the teacher saw among the records, and how many it named rightly.
struct CanaryCounts {
  std::uint64_t correct = 0;
  std::uint64_t checked = 0;
  friend bool operator==(const CanaryCounts&, const CanaryCounts&) = default;
};

struct ResultFile {
  std::filesystem::path file;
  std::string sha256;
};

struct ShardResult {
  std::vector<ResultFile> files;
  Counts counts;
  /// Quarantined records by reason.
  std::map<std::string, std::uint64_t> reasons;
  CanaryCounts canaries = {};
  /// Confidences of the records that were not quarantined, by metrics::kConfidenceBounds. Empty: features.
  metrics::Distribution confidence = {};
  /// Annotator::agreement().
  std::optional<double> plan_agreement = {};
  double seconds = 0;
  double cpu_seconds = 0;
};

/// What a person is advised by, where a failure's exit code does not tell.
enum class FailureCause { kOther, kPlanRefused };

struct ShardFailure {
  Status status;
  FailureCause cause = FailureCause::kOther;
  /// How far the shard came.
  Counts counts = {};
};

/// Thread: any. Aborted from any method: the lease is lost, drop the work.
class LeaseClient {
 public:
  virtual ~LeaseClient() = default;
  virtual Result<LeaseOffer> Take() = 0;
  /// Returns: the lease time from now.
  virtual Result<std::chrono::milliseconds> Renew(const LeaseKey& key, std::uint64_t records_done) = 0;
  /// Tries for as long as a coordinator may be away. May be repeated.
  /// Returns: what to work on after that, where the client takes it along; Take is for where it does not.
  virtual Result<LeaseOffer> Commit(const Lease& lease, const ShardResult& result) = 0;
  virtual Status Return(const LeaseKey& key) = 0;
  /// Ends the job where `failure` is for good (DataLoss, InvalidArgument ...); else the shard is given to another.
  virtual Status FailShard(const LeaseKey& key, const ShardFailure& failure) = 0;
};

}  // namespace ferment::labeler
