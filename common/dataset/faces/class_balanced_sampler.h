// SPDX-License-Identifier: Apache-2.0
//
// Draws labelled faces so that every class comes equally often, in an order that only the seed and the position decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::dataset {

struct FaceDraw {
  /// Index in the list that the sampler was made from.
  std::size_t index = 0;
  /// How often this face was drawn before: the epoch of its augmentation.
  std::uint64_t epoch = 0;

  bool operator==(const FaceDraw&) const = default;
};

/// The labelled stream, an endless sequence of faces. Position p of a run is face number p % batch of step p / batch;
/// every C consecutive positions from a multiple of C on hold each class once, and a class shows all its faces before
/// one again. Nothing depends on batch, ranks or earlier calls: a rank asks for its own positions, a resumed run for
/// its next. A value; Thread: any.
class ClassBalancedSampler {
 public:
  /// `labels[i]` is the class of face i. Errors: DataLoss (exit 65) naming every class that has no face.
  static Result<ClassBalancedSampler> Create(std::span<const int> labels, std::span<const std::string> class_names,
                                             std::uint64_t seed);

  FaceDraw At(std::uint64_t position) const;

 private:
  ClassBalancedSampler(std::vector<std::vector<std::size_t>> faces, std::uint64_t seed)
      : faces_(std::move(faces)), seed_(seed) {}

  std::vector<std::vector<std::size_t>> faces_;
  std::uint64_t seed_;
};

}  // namespace ferment::dataset
