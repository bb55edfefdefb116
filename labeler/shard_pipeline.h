// SPDX-License-Identifier: Apache-2.0
//
// Labels one shard: every thread reads, decodes and annotates batches of its own; the label rule follows in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>

#include "common/base/result.h"
#include "common/dataset/label_set.h"
#include "common/dataset/record_source.h"
#include "labeler/annotator.h"
#include "labeler/label_rule.h"

namespace ferment::labeler {

struct ShardRange {
  std::uint64_t first_record = 0;
  std::uint64_t record_count = 0;
};

/// A batch holds the records of consecutive places of the shard, quarantined ones left blank, so its composition and
/// with it every bit of the result depends neither on threads nor on who labels.
class ShardPipeline {
 public:
  /// `threads` at least 1; at most that many and one more batches are in work or waiting. References outlive it.
  ShardPipeline(const dataset::RecordSource& source, Annotator& annotator, LabelRule rule, int threads)
      : source_(source), annotator_(annotator), rule_(rule), threads_(threads) {}

  /// Fills key, label, confidence, probabilities, status and reasons; who they belong to is the caller's. `done` counts
  /// records as they are finished. Errors: Cancelled when asked to stop; OutOfRange where the source is shorter;
  /// anything but DataLoss from the source; those of the annotator.
  Result<dataset::LabelSet> Run(const ShardRange& range, std::stop_token stop, std::atomic<std::uint64_t>& done);

 private:
  const dataset::RecordSource& source_;
  Annotator& annotator_;
  LabelRule rule_;
  int threads_;
};

/// Returns: whether the share of quarantined records is past `max_damage` (labeling.max_damage).
bool TooDamaged(const dataset::LabelCounts& counts, double max_damage);

}  // namespace ferment::labeler
