// SPDX-License-Identifier: Apache-2.0
#include "labeler/shard_pipeline.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/io/formats/half_float.h"
#include "labeler/ordered_prefetch.h"

namespace ferment::labeler {
namespace {

void Append(const LabelRow& row, dataset::LabelSet& set) {
  set.label.push_back(row.label);
  set.confidence_half.push_back(row.confidence_half);
  set.probabilities_half.insert(set.probabilities_half.end(), row.probabilities_half.begin(),
                                row.probabilities_half.end());
  set.status.push_back(row.status);
}

bool NamesRightly(std::span<const float> logits, int label) {
  if (!std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); })) return false;
  return std::max_element(logits.begin(), logits.end()) - logits.begin() == label;
}

Status NoneDecoded(std::size_t drawn, const std::string& reason) {
  return DataLossError(
             "none of the canaries can be decoded; look at data.fer.validation with `ferment data scan`: "
             "drawn=" +
             std::to_string(drawn) + " last_reason=" + reason)
      .WithExitCode(exit_code::kBadData);
}

}  // namespace

std::vector<ShardPipeline::Batch> ShardPipeline::PlanBatches(const ShardRange& range, std::uint64_t canaries) const {
  const std::uint64_t size = annotator_.batch();
  const std::uint64_t of_records = (range.record_count + size - 1) / size;
  const std::uint64_t of_canaries = (canaries + size - 1) / size;
  std::vector<Batch> batches;
  std::uint64_t placed = 0;
  for (std::uint64_t number = 0; number <= of_records; ++number) {
    for (; placed < of_canaries && number * (of_canaries + 1) >= (placed + 1) * of_records; ++placed) {
      batches.push_back({true, placed * size, std::min(size, canaries - placed * size)});
    }
    if (number == of_records) break;
    batches.push_back({false, range.first_record + number * size, std::min(size, range.record_count - number * size)});
  }
  return batches;
}

Result<dataset::Image> ShardPipeline::ReadRecord(std::uint64_t index) const {
  FERMENT_ASSIGN_OR_RETURN(const dataset::EncodedRecord record, source_.Read(index));
  return dataset::DecodePicture(record.image);
}

Result<ShardPipeline::Annotated> ShardPipeline::Annotate(const Batch& batch,
                                                         std::span<const dataset::LabelledFace> canaries) const {
  Annotated faces{batch, {}, {}};
  // One a picture; blank where it is damaged.
  std::vector<dataset::Image> images;
  for (std::uint64_t index = batch.first; index < batch.first + batch.count; ++index) {
    auto image = batch.of_canaries ? dataset::ReadFace(canaries[index]) : ReadRecord(index);
    if (!image && image.error().code() != StatusCode::kDataLoss) {
      return Fail(batch.of_canaries ? image.error().With("reading a canary of data.fer.validation, drawn as number " +
                                                         std::to_string(index))
                                    : image.error());
    }
    faces.reasons.push_back(image ? "" : dataset::DamageReason(image.error()));
    images.push_back(image ? std::move(*image) : dataset::Image{.width = 1, .height = 1, .rgb = {0, 0, 0}});
  }
  FERMENT_ASSIGN_OR_RETURN(Annotation annotation, annotator_.Annotate(images));
  faces.logits = std::move(annotation.logits);
  return faces;
}

void ShardPipeline::AddRecords(const Annotated& faces, LabelledShard& shard) const {
  const std::size_t classes = annotator_.classes();
  dataset::LabelSet& set = shard.set;
  for (std::size_t i = 0; i < faces.reasons.size(); ++i) {
    set.key.push_back(source_.KeyAt(faces.batch.first + i));
    std::string reason = faces.reasons[i];
    LabelRow row = QuarantinedRow(classes);
    if (reason.empty()) {
      row = ApplyLabelRule(rule_, std::span(faces.logits).subspan(i * classes, classes));
      if (row.status == dataset::LabelStatus::kQuarantined) reason = "not-finite";
    }
    if (reason.empty()) {
      shard.confidence.Observe(io::FloatFromHalf(row.confidence_half), metrics::kConfidenceBounds);
    } else {
      ++set.reasons[reason];
    }
    Append(row, set);
  }
}

Result<LabelledShard> ShardPipeline::Run(const ShardRange& range, std::span<const dataset::LabelledFace> canaries,
                                         std::stop_token stop, std::atomic<std::uint64_t>& done) {
  if (range.first_record > source_.size() || range.record_count > source_.size() - range.first_record) {
    return Fail(OutOfRangeError("the shard reaches past the data; was the set replaced while the run went on? first=" +
                                std::to_string(range.first_record) + " count=" + std::to_string(range.record_count) +
                                " records=" + std::to_string(source_.size())));
  }
  const std::vector<Batch> batches = PlanBatches(range, canaries.size());
  OrderedPrefetch<Result<Annotated>> annotated(
      batches.size(), threads_, [&](std::uint64_t number) { return Annotate(batches[number], canaries); });

  LabelledShard shard;
  const std::size_t classes = annotator_.classes();
  std::string damage;
  for (std::size_t number = 0; number < batches.size(); ++number) {
    if (stop.stop_requested()) return Fail(CancelledError("asked to stop within a shard"));
    FERMENT_ASSIGN_OR_RETURN(const Annotated faces, annotated.Next());
    if (!faces.batch.of_canaries) {
      AddRecords(faces, shard);
      done.fetch_add(faces.reasons.size(), std::memory_order_relaxed);
      continue;
    }
    for (std::size_t i = 0; i < faces.reasons.size(); ++i) {
      if (!faces.reasons[i].empty()) {
        damage = faces.reasons[i];
        continue;
      }
      ++shard.canaries.checked;
      const int label = canaries[faces.batch.first + i].label;
      if (NamesRightly(std::span(faces.logits).subspan(i * classes, classes), label)) ++shard.canaries.correct;
    }
  }
  if (!canaries.empty() && shard.canaries.checked == 0) return Fail(NoneDecoded(canaries.size(), damage));
  return shard;
}

bool TooDamaged(const dataset::LabelCounts& counts, double max_damage) {
  return static_cast<double>(counts.quarantined) > max_damage * static_cast<double>(counts.read);
}

}  // namespace ferment::labeler
