// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/fr_sampler.h"

#include "common/base/random.h"
#include "common/dataset/records/shuffled_index.h"

namespace ferment::dataset {
namespace {

Status NothingToDraw(std::string message) {
  return FailedPreconditionError(std::move(message)).WithExitCode(exit_code::kBadData);
}

std::uint64_t CountLabelled(std::span<const LabelSet> sets) {
  std::uint64_t labelled = 0;
  for (const LabelSet& set : sets) labelled += set.Counts().labelled;
  return labelled;
}

}  // namespace

Result<FrSampling> ParseFrSampling(std::string_view name) {
  if (name == "uniform") return FrSampling::kUniform;
  if (name == "accepted") return FrSampling::kAccepted;
  if (name == "class_balanced") return FrSampling::kClassBalanced;
  return Fail(InvalidArgumentError("cotrain.pseudo_label.fr_sampling is '" + std::string(name) +
                                   "', not one of uniform, accepted, class_balanced")
                  .WithExitCode(exit_code::kBadSpec));
}

Result<FrSampler> FrSampler::Create(const Options& options, std::span<const std::uint64_t> keys,
                                    std::span<const LabelSet> sets, std::string_view label_sets_digest) {
  const bool accepted_only = options.sampling != FrSampling::kUniform || options.labels_required;
  if (accepted_only && sets.empty()) {
    return Fail(
        NothingToDraw("FR faces are to be drawn by their pseudo-labels, but no label set of this teacher is committed: "
                      "label first, or set cotrain.pseudo_label.fr_sampling=uniform and source=online"));
  }
  FrSampler sampler;
  sampler.seed_ = options.seed;
  sampler.stream_ = RandomBits(StreamOf("sampler/fr"), StreamOf(label_sets_digest), 0);
  const bool balanced = options.sampling == FrSampling::kClassBalanced;
  sampler.groups_.resize(balanced ? sets.front().classes.size() : 1);
  if (sets.empty())
    for (const std::uint64_t key : keys) sampler.groups_[0].push_back({key, -1});
  for (const LabelSet& set : sets) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set.status[i] == LabelStatus::kQuarantined) continue;
      const bool labelled = set.status[i] == LabelStatus::kLabelled;
      if (accepted_only && !labelled) continue;
      sampler.groups_[balanced ? set.label[i] : 0].push_back({set.key[i], labelled ? set.label[i] : -1});
    }
  }
  if (balanced)
    for (std::size_t c = 0; c < sampler.groups_.size(); ++c)
      if (sampler.groups_[c].empty()) sampler.empty_classes_.push_back(sets.front().classes[c]);
  std::erase_if(sampler.groups_, [](const auto& group) { return group.empty(); });
  if (sampler.groups_.empty()) {
    return Fail(NothingToDraw("no FR face can be drawn: records=" + std::to_string(keys.size()) + " label_sets=" +
                              std::to_string(sets.size()) + " labelled=" + std::to_string(CountLabelled(sets)) +
                              "; lower labeling.threshold, or train the teacher longer"));
  }
  return sampler;
}

FrDraw FrSampler::At(std::uint64_t position) const {
  const std::uint64_t groups = groups_.size();
  const std::uint64_t cycle = position / groups;
  const std::uint64_t chosen = ShuffledIndex(groups, seed_, RandomBits(stream_, 0, cycle), position % groups);
  const auto& group = groups_[chosen];
  const std::uint64_t epoch = cycle / group.size();
  const std::uint64_t stream = RandomBits(stream_, chosen + 1, epoch);
  const Candidate& drawn = group[ShuffledIndex(group.size(), seed_, stream, cycle % group.size())];
  return {drawn.key, epoch, drawn.label < 0 ? std::nullopt : std::optional<int>(drawn.label)};
}

std::uint64_t FrSampler::size() const {
  std::uint64_t size = 0;
  for (const auto& group : groups_) size += group.size();
  return size;
}

}  // namespace ferment::dataset
