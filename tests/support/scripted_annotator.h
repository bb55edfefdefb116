// SPDX-License-Identifier: Apache-2.0
//
// An annotator without a network: logits follow from a face's first pixel.
#pragma once

#include <vector>

#include "labeler/annotator.h"

namespace ferment::testing_support {

/// Class = red of the first pixel / 64, with a confidence near 1. `sizes` records the faces of each call.
class ScriptedAnnotator final : public labeler::Annotator {
 public:
  explicit ScriptedAnnotator(std::size_t batch) : batch_(batch) {}
  std::size_t batch() const override { return batch_; }
  std::size_t classes() const override { return 4; }
  Result<labeler::Annotation> Annotate(std::span<const dataset::Image> faces) override {
    sizes.push_back(faces.size());
    labeler::Annotation annotation;
    for (const dataset::Image& face : faces) {
      for (int c = 0; c < 4; ++c) annotation.logits.push_back(face.rgb[0] / 64 == c ? 10.0F : 0.0F);
      annotation.features.push_back(face.rgb[0]);
    }
    return annotation;
  }

  std::vector<std::size_t> sizes;

 private:
  std::size_t batch_;
};

}  // namespace ferment::testing_support
