// SPDX-License-Identifier: Apache-2.0
#include "labeler/shard_pipeline.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/dataset/picture_decoder.h"
#include "labeler/ordered_prefetch.h"

namespace ferment::labeler {
namespace {

struct AnnotatedBatch {
  /// Empty where the record is sound, else why it is not; one a record.
  std::vector<std::string> reasons;
  Annotation annotation;
};

Result<AnnotatedBatch> AnnotateBatch(const dataset::RecordSource& source, Annotator& annotator, std::uint64_t first,
                                     std::uint64_t count) {
  AnnotatedBatch batch;
  // One a record; blank where it was quarantined.
  std::vector<dataset::Image> images;
  for (std::uint64_t index = first; index < first + count; ++index) {
    Status damage;
    const auto record = source.Read(index);
    if (!record) {
      if (record.error().code() != StatusCode::kDataLoss) return Fail(record.error());
      damage = record.error();
    } else if (auto image = dataset::DecodePicture(record->image)) {
      images.push_back(std::move(*image));
    } else {
      damage = image.error();
    }
    batch.reasons.push_back(damage.ok() ? "" : dataset::DamageReason(damage));
    if (!damage.ok()) images.push_back({.width = 1, .height = 1, .rgb = {0, 0, 0}});
  }
  FERMENT_ASSIGN_OR_RETURN(batch.annotation, annotator.Annotate(images));
  return batch;
}

void Append(const LabelRow& row, dataset::LabelSet& set) {
  set.label.push_back(row.label);
  set.confidence_half.push_back(row.confidence_half);
  set.probabilities_half.insert(set.probabilities_half.end(), row.probabilities_half.begin(),
                                row.probabilities_half.end());
  set.status.push_back(row.status);
}

}  // namespace

Result<dataset::LabelSet> ShardPipeline::Run(const ShardRange& range, std::stop_token stop,
                                             std::atomic<std::uint64_t>& done) {
  if (range.first_record > source_.size() || range.record_count > source_.size() - range.first_record) {
    return Fail(OutOfRangeError("the shard reaches past the data; was the set replaced while the run went on? first=" +
                                std::to_string(range.first_record) + " count=" + std::to_string(range.record_count) +
                                " records=" + std::to_string(source_.size())));
  }
  const std::uint64_t batch = annotator_.batch();
  const std::uint64_t batches = (range.record_count + batch - 1) / batch;
  OrderedPrefetch<Result<AnnotatedBatch>> annotated(batches, threads_, [&](std::uint64_t number) {
    const std::uint64_t first = number * batch;
    return AnnotateBatch(source_, annotator_, range.first_record + first, std::min(batch, range.record_count - first));
  });

  dataset::LabelSet set;
  const std::size_t classes = annotator_.classes();
  for (std::uint64_t number = 0; number < batches; ++number) {
    if (stop.stop_requested()) return Fail(CancelledError("asked to stop within a shard"));
    FERMENT_ASSIGN_OR_RETURN(const AnnotatedBatch faces, annotated.Next());
    const std::uint64_t first = range.first_record + number * batch;
    for (std::size_t i = 0; i < faces.reasons.size(); ++i) {
      set.key.push_back(source_.KeyAt(first + i));
      std::string reason = faces.reasons[i];
      LabelRow row = QuarantinedRow(classes);
      if (reason.empty()) {
        row = ApplyLabelRule(rule_, std::span(faces.annotation.logits).subspan(i * classes, classes));
        if (row.status == dataset::LabelStatus::kQuarantined) reason = "not-finite";
      }
      if (!reason.empty()) ++set.reasons[reason];
      Append(row, set);
    }
    done.fetch_add(faces.reasons.size(), std::memory_order_relaxed);
  }
  return set;
}

bool TooDamaged(const dataset::LabelCounts& counts, double max_damage) {
  return static_cast<double>(counts.quarantined) > max_damage * static_cast<double>(counts.read);
}

}  // namespace ferment::labeler
