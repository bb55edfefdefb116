// SPDX-License-Identifier: Apache-2.0
#include "labeler/plan_agreement.h"

#include <algorithm>
#include <utility>

#include "common/dataset/pictures/picture_decoder.h"
#include "labeler/ordered_prefetch.h"

namespace ferment::labeler {
namespace {

Result<std::vector<dataset::Image>> ReadFaces(const dataset::RecordSource& source,
                                              std::span<const std::uint64_t> indices) {
  std::vector<dataset::Image> faces;
  for (const std::uint64_t index : indices) {
    const auto record = source.Read(index);
    auto face = record ? dataset::DecodePicture(record->image) : Result<dataset::Image>(Fail(record.error()));
    if (!face && face.error().code() != StatusCode::kDataLoss) return Fail(face.error());
    if (face) faces.push_back(std::move(*face));
  }
  return faces;
}

void Compare(const LabelRow& exact, const LabelRow& reduced, PlanAgreement& agreement) {
  const bool passes = exact.status == dataset::LabelStatus::kLabelled;
  const bool passes_reduced = reduced.status == dataset::LabelStatus::kLabelled;
  ++agreement.faces;
  if (!passes && !passes_reduced) return;
  ++agreement.compared;
  agreement.same += exact.label == reduced.label ? 1 : 0;
  agreement.flipped += passes != passes_reduced ? 1 : 0;
}

Result<PlanAgreement> CompareBatch(const std::vector<dataset::Image>& faces, const PlanPair& plans,
                                   const LabelRule& rule) {
  const auto& [exact, reduced] = plans;
  PlanAgreement agreement;
  if (faces.empty()) return agreement;
  FERMENT_ASSIGN_OR_RETURN(const Annotation of_exact, exact.Annotate(faces));
  FERMENT_ASSIGN_OR_RETURN(const Annotation of_reduced, reduced.Annotate(faces));
  const std::size_t classes = exact.classes();
  for (std::size_t i = 0; i < faces.size(); ++i) {
    Compare(ApplyLabelRule(rule, std::span(of_exact.logits).subspan(i * classes, classes)),
            ApplyLabelRule(rule, std::span(of_reduced.logits).subspan(i * classes, classes)), agreement);
  }
  return agreement;
}

}  // namespace

double PlanAgreement::Share() const {
  return compared == 0 ? 1 : static_cast<double>(same) / static_cast<double>(compared);
}

std::vector<std::uint64_t> SpreadIndices(std::uint64_t records, std::uint64_t count) {
  std::vector<std::uint64_t> indices;
  const std::uint64_t taken = std::min(records, count);
  for (std::uint64_t i = 0; i < taken; ++i) indices.push_back(i * (records / taken) + i * (records % taken) / taken);
  return indices;
}

Result<PlanAgreement> MeasureAgreement(const dataset::RecordSource& source, std::span<const std::uint64_t> indices,
                                       const PlanPair& plans, const LabelRule& rule, int threads,
                                       const std::stop_token& stop) {
  const std::uint64_t batch = std::min(plans.exact.batch(), plans.reduced.batch());
  const std::uint64_t batches = (indices.size() + batch - 1) / batch;
  OrderedPrefetch<Result<PlanAgreement>> compared(batches, threads, [&](std::uint64_t number) -> Result<PlanAgreement> {
    if (stop.stop_requested()) return Fail(CancelledError("asked to stop"));
    const std::uint64_t first = number * batch;
    const auto part = indices.subspan(first, std::min<std::uint64_t>(batch, indices.size() - first));
    FERMENT_ASSIGN_OR_RETURN(const auto faces, ReadFaces(source, part));
    return CompareBatch(faces, plans, rule);
  });
  PlanAgreement sum;
  for (std::uint64_t number = 0; number < batches; ++number) {
    FERMENT_ASSIGN_OR_RETURN(const PlanAgreement part, compared.Next());
    sum.faces += part.faces;
    sum.compared += part.compared;
    sum.same += part.same;
    sum.flipped += part.flipped;
  }
  return sum;
}

}  // namespace ferment::labeler
