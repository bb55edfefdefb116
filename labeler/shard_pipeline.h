// SPDX-License-Identifier: Apache-2.0
//
// Labels one shard: every thread reads, decodes and annotates batches of its own; the label rule follows in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/labels/label_set.h"
#include "common/dataset/records/record_source.h"
#include "labeler/annotator.h"
#include "labeler/label_rule.h"
#include "labeler/lease_client.h"

namespace ferment::labeler {

struct ShardRange {
  std::uint64_t first_record = 0;
  std::uint64_t record_count = 0;
};

struct LabelledShard {
  dataset::LabelSet set;
  CanaryCounts canaries;
  /// As ShardResult's.
  metrics::Distribution confidence;
};

/// A batch holds the records of consecutive places of the shard, quarantined ones left blank, so its composition and
/// with it every bit of the result depends neither on threads nor on who labels. Canaries travel in batches of their
/// own between those of the records, through the same decoder and the same network: no record's row can depend on them.
class ShardPipeline {
 public:
  /// `threads` at least 1; at most that many and one more batches are in work or waiting. References outlive it.
  ShardPipeline(const dataset::RecordSource& source, Annotator& annotator, LabelRule rule, int threads)
      : source_(source), annotator_(annotator), rule_(rule), threads_(threads) {}

  /// Fills key, label, confidence, probabilities, status and reasons; who they belong to is the caller's. `done` counts
  /// records as they are finished. A canary's answer is the highest logit, whatever its confidence; logits that are not
  /// finite are a wrong answer, a picture that cannot be decoded is none. Errors: Cancelled when asked to stop;
  /// OutOfRange where the source is shorter; anything but DataLoss from source and canaries; DataLoss (65) where no
  /// canary can be decoded; those of the annotator.
  Result<LabelledShard> Run(const ShardRange& range, std::span<const dataset::LabelledFace> canaries,
                            std::stop_token stop, std::atomic<std::uint64_t>& done);

 private:
  struct Batch {
    bool of_canaries = false;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };
  struct Annotated {
    Batch batch;
    /// Empty where the picture is sound, else why it is not; one a picture.
    std::vector<std::string> reasons;
    std::vector<float> logits;
  };

  /// Returns: the records' batches in order, the canaries' spread among them.
  std::vector<Batch> PlanBatches(const ShardRange& range, std::uint64_t canaries) const;
  Result<Annotated> Annotate(const Batch& batch, std::span<const dataset::LabelledFace> canaries) const;
  Result<dataset::Image> ReadRecord(std::uint64_t index) const;
  void AddRecords(const Annotated& faces, LabelledShard& shard) const;

  const dataset::RecordSource& source_;
  Annotator& annotator_;
  LabelRule rule_;
  int threads_;
};

/// Returns: whether the share of quarantined records is past `max_damage` (labeling.max_damage).
bool TooDamaged(const dataset::LabelCounts& counts, double max_damage);

}  // namespace ferment::labeler
