// SPDX-License-Identifier: Apache-2.0
//
// Canaries: held-out labelled faces that travel among a shard's records, to see what the teacher makes of known ones.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/dataset/faces/face_list.h"

namespace ferment::dataset {

/// The faces of data.fer.validation by class. A value; Thread: any.
class CanaryFaces {
 public:
  /// Errors: those of LoadFaces.
  static Result<CanaryFaces> Open(const RunSpec& spec);

  /// Returns: canaries of one shard, whoever labels it: each of a class drawn evenly among those that have a face, then
  /// a face drawn evenly among the class's. Draws are independent, so a face may come twice: that is what makes the
  /// answers a fair sample of the class-balanced accuracy, and a confidence sequence valid.
  std::vector<LabelledFace> Draw(std::uint64_t seed, std::string_view teacher, std::uint64_t shard,
                                 std::uint64_t count) const;

 private:
  explicit CanaryFaces(std::vector<std::vector<LabelledFace>> by_class) : by_class_(std::move(by_class)) {}

  /// Classes that have a face.
  std::vector<std::vector<LabelledFace>> by_class_;
};

/// Returns: labeling.canary_share of these records, rounded up.
std::uint64_t CanaryCount(const RunSpec& spec, std::uint64_t records);

}  // namespace ferment::dataset
