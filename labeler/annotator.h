// SPDX-License-Identifier: Apache-2.0
//
// The port that says what a network sees in faces.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::labeler {

/// Row by row, one a face.
struct Annotation {
  std::vector<float> logits;
  std::vector<float> features;
};

/// Thread: any number at a time; a call works on its own thread alone.
class Annotator {
 public:
  virtual ~Annotator() = default;
  /// Faces a call: few enough that what a network makes of them stays in a core's caches.
  virtual std::size_t batch() const = 0;
  virtual std::size_t classes() const = 0;
  /// Share of labels in which it agreed with float32 when it was made; absent where it is float32.
  virtual std::optional<double> agreement() const { return std::nullopt; }
  /// Requires: at most batch() faces. A face's row does not depend on the others.
  virtual Result<Annotation> Annotate(std::span<const dataset::Image> faces) = 0;
};

}  // namespace ferment::labeler
