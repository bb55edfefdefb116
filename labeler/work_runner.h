// SPDX-License-Identifier: Apache-2.0
//
// Does the work of one lease: a label set for a shard, or feature files for videos; keeps networks and sources open.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/faces/canary_faces.h"
#include "common/dataset/records/record_source.h"
#include "labeler/annotator.h"
#include "labeler/lease_client.h"

namespace ferment::labeler {

/// How a network is opened; torch_annotator in the program, a script in tests.
using OpenAnnotator = std::function<Result<std::unique_ptr<Annotator>>(const RunSpec& spec, const Model& model)>;

struct WorkOutcome {
  ShardResult result;
  /// Not ok: the shard is to be failed with this, and `result.counts` says how far it came.
  Status failure;
  FailureCause cause = FailureCause::kOther;
};

/// Thread: one at a time.
class WorkRunner {
 public:
  /// `ending`: stop of the whole process, which ends its waits for an object store; of a finished shard's,
  /// late_stop.h's time later.
  WorkRunner(OpenAnnotator open, int threads, std::stop_token ending = {})
      : open_(std::move(open)), threads_(threads), ending_(std::move(ending)) {}

  /// Writes the lease's files, durably, and does not commit them. Errors: Cancelled when asked to stop; others are to
  /// be reported by FailShard. Damage past labeling.max_damage is an outcome with a failure (DataLoss, exit 65),
  /// and so is a network whose plan agrees with float32 on less than kLeastAgreement (FailedPrecondition, exit 65).
  Result<WorkOutcome> Run(const Lease& lease, std::stop_token stop, std::atomic<std::uint64_t>& done);
  /// There is no work for now: closes pack, lists and network. A run that failed for its data goes on with mended ones.
  void Rest() { TurnTo(nullptr); }

 private:
  Result<WorkOutcome> Label(const Lease& lease, const LabelTask& task, std::stop_token stop,
                            std::atomic<std::uint64_t>& done);
  Result<WorkOutcome> ExtractFeatures(const Lease& lease, const FeatureTask& task, std::stop_token stop,
                                      std::atomic<std::uint64_t>& done);
  /// Forgets what another run's leases had opened: packs and lists may have been replaced under their names since,
  /// and a network is made by more than its weights (int8's ranges come from the pack).
  void TurnTo(const std::shared_ptr<const RunSpec>& spec);
  Result<Annotator*> AnnotatorFor(const RunSpec& spec, const Model& model);
  Result<const dataset::RecordSource*> Source();
  /// Before the first lease that writes there: a folder that cannot be written costs no labelling.
  Status TryOutput(const std::filesystem::path& folder, Status (*try_to_write)(const std::filesystem::path&));
  /// Returns: the canaries of this shard.
  Result<std::vector<dataset::LabelledFace>> CanariesFor(const Lease& lease, const LabelTask& task);

  OpenAnnotator open_;
  int threads_;
  std::stop_token ending_;
  // Of the run at hand: leases come run by run, network by network.
  std::shared_ptr<const RunSpec> spec_;  // known by its address, which all leases of one run share
  std::unique_ptr<Annotator> annotator_;
  std::string annotator_key_;  // plan and digest
  std::unique_ptr<dataset::RecordSource> source_;
  std::optional<dataset::CanaryFaces> canaries_;
  std::set<std::filesystem::path> written_;  // folders that were tried, and can be written
};

}  // namespace ferment::labeler
