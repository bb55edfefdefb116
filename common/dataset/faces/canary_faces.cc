// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/canary_faces.h"

#include <cmath>
#include <string>

#include "common/base/random.h"

namespace ferment::dataset {
namespace {

constexpr char kWhatFor[] =
    "labeling.canary_share asks for labelled faces of data.fer.validation among the records; give such a list, or set "
    "labeling.canary_share: 0 and labeling.min_accuracy: 0";

}  // namespace

Result<CanaryFaces> CanaryFaces::Open(const RunSpec& spec) {
  auto list = LoadFaces(spec, FaceSplit::kValidation);
  if (!list) return Fail(list.error().With(kWhatFor));
  std::vector<std::vector<LabelledFace>> by_class(static_cast<std::size_t>(spec.classes_size()));
  for (LabelledFace& face : list->faces) by_class[static_cast<std::size_t>(face.label)].push_back(std::move(face));
  std::erase_if(by_class, [](const auto& faces) { return faces.empty(); });
  return CanaryFaces(std::move(by_class));
}

std::vector<LabelledFace> CanaryFaces::Draw(std::uint64_t seed, std::string_view teacher, std::uint64_t shard,
                                            std::uint64_t count) const {
  RandomSequence random(seed, StreamOf("canaries/" + std::string(teacher) + "/" + std::to_string(shard)));
  std::vector<LabelledFace> drawn;
  drawn.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto& faces = by_class_[random.Below(by_class_.size())];
    drawn.push_back(faces[random.Below(faces.size())]);
  }
  return drawn;
}

std::uint64_t CanaryCount(const RunSpec& spec, std::uint64_t records) {
  // A hair less, so that a share that no double holds exactly does not round up past a whole number.
  const double exact = spec.labeling().canary_share() * static_cast<double>(records);
  return static_cast<std::uint64_t>(std::ceil(exact * (1 - 1e-12)));
}

}  // namespace ferment::dataset
