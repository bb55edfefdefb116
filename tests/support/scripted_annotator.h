// SPDX-License-Identifier: Apache-2.0
//
// An annotator without a network: logits follow from a face's first pixel.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "common/base/mutex.h"
#include "labeler/annotator.h"

namespace ferment::testing_support {

/// Class = red of the first pixel / 64, with a confidence near 1.
class ScriptedAnnotator final : public labeler::Annotator {
 public:
  explicit ScriptedAnnotator(std::size_t batch) : batch_(batch) {}
  std::size_t batch() const override { return batch_; }
  std::size_t classes() const override { return 4; }
  Result<labeler::Annotation> Annotate(std::span<const dataset::Image> faces) override {
    {
      const MutexLock lock(mutex_);
      sizes_.push_back(faces.size());
    }
    labeler::Annotation annotation;
    for (const dataset::Image& face : faces) {
      for (int c = 0; c < 4; ++c) annotation.logits.push_back(face.rgb[0] / 64 == c ? 10.0F : 0.0F);
      annotation.features.push_back(face.rgb[0]);
    }
    return annotation;
  }

  /// Returns: the faces of each call, the most first.
  std::vector<std::size_t> sizes() const {
    const MutexLock lock(mutex_);
    auto sorted = sizes_;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    return sorted;
  }

 private:
  std::size_t batch_;
  mutable Mutex mutex_;
  std::vector<std::size_t> sizes_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::testing_support
