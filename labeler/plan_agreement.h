// SPDX-License-Identifier: Apache-2.0
//
// Whether a plan of reduced precision gives the labels that float32 gives.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/records/record_source.h"
#include "labeler/annotator.h"
#include "labeler/label_rule.h"

namespace ferment::labeler {

/// Least share of equal labels: a plan with less is refused.
inline constexpr double kLeastAgreement = 0.99;

struct PlanAgreement {
  /// Records that could be decoded.
  std::uint64_t faces = 0;
  /// Whose label passes the threshold in one of the two plans at least.
  std::uint64_t compared = 0;
  /// Of those: named the same by both.
  std::uint64_t same = 0;
  /// Of those: pass the threshold in one plan alone.
  std::uint64_t flipped = 0;

  /// Returns: same / compared; 1 where nothing passes, so that nothing would be published.
  double Share() const;
};

struct PlanPair {
  Annotator& exact;
  Annotator& reduced;
};

/// Returns: `count` indices spread evenly over [0, records), ascending; all where there are fewer.
std::vector<std::uint64_t> SpreadIndices(std::uint64_t records, std::uint64_t count);

/// Shows records to both plans, `threads` batches at a time; damaged ones are left out. The result follows from
/// records, plans and rule alone. Errors: Cancelled when asked to stop, between batches; those of Annotate; those of
/// reading that are no damage.
Result<PlanAgreement> MeasureAgreement(const dataset::RecordSource& source, std::span<const std::uint64_t> indices,
                                       const PlanPair& plans, const LabelRule& rule, int threads,
                                       const std::stop_token& stop = {});

}  // namespace ferment::labeler
