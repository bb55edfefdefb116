// SPDX-License-Identifier: Apache-2.0
//
// Draws unlabelled faces: uniformly, or those that a teacher has labelled, also balanced by its labels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/labels/label_set.h"

namespace ferment::dataset {

enum class FrSampling {
  /// Every record that is not quarantined.
  kUniform,
  /// Labelled records.
  kAccepted,
  /// Labelled records, each pseudo-class that has any equally often.
  kClassBalanced,
};

/// Returns: the value of a spec's cotrain.pseudo_label.fr_sampling. Errors: InvalidArgument (exit 64).
Result<FrSampling> ParseFrSampling(std::string_view name);

struct FrDraw {
  std::uint64_t key = 0;
  /// How often this record was drawn before: the epoch of its augmentation.
  std::uint64_t epoch = 0;
  /// The teacher's label on file; absent under kUniform without label sets, or where the teacher abstained.
  std::optional<int> label;

  bool operator==(const FrDraw&) const = default;
};

/// The unlabelled stream: like ClassBalancedSampler an endless sequence that is a function of the position, here of
/// (seed, position, digest of the label sets in use) alone. A value; Thread: any.
class FrSampler {
 public:
  struct Options {
    FrSampling sampling = FrSampling::kClassBalanced;
    std::uint64_t seed = 1;
    /// Offline labels need one on file: then kUniform means kAccepted too.
    bool labels_required = false;
  };

  /// `keys`: the source's image keys, used by kUniform without label sets. `sets`: of one teacher; may be empty for
  /// kUniform. `label_sets_digest`: LabelIndexDigest(), or "" without sets. Errors: FailedPrecondition (exit 65) where
  /// label sets are needed and there are none, or nothing can be drawn.
  static Result<FrSampler> Create(const Options& options, std::span<const std::uint64_t> keys,
                                  std::span<const LabelSet> sets, std::string_view label_sets_digest);

  FrDraw At(std::uint64_t position) const;

  /// Records that can be drawn.
  std::uint64_t size() const;
  /// Under kClassBalanced: names of the classes without an accepted record, which are never drawn; for the log.
  const std::vector<std::string>& empty_classes() const { return empty_classes_; }

 private:
  struct Candidate {
    std::uint64_t key;
    int label;  // -1 = none
  };
  FrSampler() = default;

  /// One group under kUniform and kAccepted, one a class under kClassBalanced; none is empty.
  std::vector<std::vector<Candidate>> groups_;
  std::vector<std::string> empty_classes_;
  std::uint64_t seed_ = 0;
  std::uint64_t stream_ = 0;
};

}  // namespace ferment::dataset
