// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/hashing_annotator.h"

#include <thread>
#include <utility>

#include "common/base/random.h"

namespace ferment::chaos {
namespace {

constexpr std::size_t kBatch = 16;
/// Beyond it a softmax of eight classes is sure of one; so some faces get a label and some do not.
constexpr double kHighestLogit = 6;

class HashingAnnotator final : public labeler::Annotator {
 public:
  HashingAnnotator(std::uint64_t teacher, std::size_t classes, std::chrono::milliseconds work)
      : teacher_(teacher), classes_(classes), work_(work) {}

  std::size_t batch() const override { return kBatch; }
  std::size_t classes() const override { return classes_; }
  Result<labeler::Annotation> Annotate(std::span<const dataset::Image> faces) override {
    std::this_thread::sleep_for(work_);
    labeler::Annotation annotation;
    for (const dataset::Image& face : faces) {
      const std::uint64_t picture =
          StreamOf({reinterpret_cast<const char*>(face.rgb.data()), face.rgb.size()});  // NOLINT: bytes as text
      for (std::size_t c = 0; c < classes_; ++c) {
        annotation.logits.push_back(static_cast<float>(kHighestLogit * RandomUniform(teacher_, picture, c)));
      }
      annotation.features.push_back(0);
    }
    return annotation;
  }

 private:
  const std::uint64_t teacher_;
  const std::size_t classes_;
  const std::chrono::milliseconds work_;
};

}  // namespace

labeler::OpenAnnotator OpenHashingAnnotator(std::chrono::milliseconds work) {
  return [work](const RunSpec& spec, const labeler::Model& model) -> Result<std::unique_ptr<labeler::Annotator>> {
    return std::make_unique<HashingAnnotator>(StreamOf(model.digest), static_cast<std::size_t>(spec.classes_size()),
                                              work);
  };
}

}  // namespace ferment::chaos
