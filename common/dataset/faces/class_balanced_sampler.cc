// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/class_balanced_sampler.h"

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/dataset/records/shuffled_index.h"

namespace ferment::dataset {

Result<ClassBalancedSampler> ClassBalancedSampler::Create(std::span<const int> labels,
                                                          std::span<const std::string> class_names,
                                                          std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> faces(class_names.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    FERMENT_CHECK(labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < class_names.size());
    faces[static_cast<std::size_t>(labels[i])].push_back(i);
  }
  std::string empty;
  for (std::size_t c = 0; c < faces.size(); ++c)
    if (faces[c].empty()) empty += (empty.empty() ? "" : ", ") + class_names[c];
  if (!empty.empty() || faces.empty()) {
    return Fail(DataLossError("no labelled training face of class " + empty +
                              ": faces=" + std::to_string(labels.size()) +
                              "; add faces of it, or list only the other classes under `classes`")
                    .WithExitCode(exit_code::kBadData));
  }
  return ClassBalancedSampler(std::move(faces), seed);
}

FaceDraw ClassBalancedSampler::At(std::uint64_t position) const {
  static const std::uint64_t kClassOrder = StreamOf("sampler/fer/class");
  static const std::uint64_t kFaceOrder = StreamOf("sampler/fer/face");
  const std::uint64_t classes = faces_.size();
  const std::uint64_t cycle = position / classes;
  const std::uint64_t label = ShuffledIndex(classes, seed_, kClassOrder + cycle, position % classes);
  const auto& faces = faces_[label];
  const std::uint64_t epoch = cycle / faces.size();
  const std::uint64_t stream = RandomBits(kFaceOrder, label, epoch);
  return {faces[ShuffledIndex(faces.size(), seed_, stream, cycle % faces.size())], epoch};
}

}  // namespace ferment::dataset
