// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/pseudo_label_quality.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>

#include "common/io/formats/half_float.h"

namespace ferment::dataset {
namespace {

double Share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(part) / static_cast<double>(whole);
}

/// Reads an integer from the front of `text`, up to a comma or the end, and drops both.
template <typename Integer>
bool TakeNumber(std::string_view& text, Integer& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || (used < text.size() && text[used] != ',')) return false;
  text.remove_prefix(std::min(used + 1, text.size()));
  return true;
}

struct Tally {
  std::uint64_t with_truth = 0;
  std::uint64_t correct = 0;
};

struct BinTally {
  std::uint64_t count = 0;
  double confidence = 0;
  Tally tally;
};

}  // namespace

Result<LabelTruth> ReadLabelTruth(const std::filesystem::path& path, int classes) {
  std::ifstream file(path);
  if (!file)
    return Fail(NotFoundError("no such truth file: file=" + path.string() + "; set labeling.truth or leave it out"));
  const auto at = [&](int line) { return ": file=" + path.string() + " line=" + std::to_string(line); };
  std::string line;
  if (!std::getline(file, line) || !line.starts_with("key,class"))
    return Fail(DataLossError("truth file does not begin with the header key,class" + at(1)));
  LabelTruth truth;
  for (int number = 2; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    std::string_view rest = line;
    std::uint64_t key = 0;
    int label = 0;
    if (!TakeNumber(rest, key) || !TakeNumber(rest, label))
      return Fail(DataLossError("row does not begin with key and class" + at(number)));
    if (label < -1 || label >= classes)
      return Fail(DataLossError("class " + std::to_string(label) + " is not in -1.." + std::to_string(classes - 1) +
                                at(number)));
    if (!truth.emplace(key, label).second)
      return Fail(DataLossError("key " + std::to_string(key) + " stands twice" + at(number)));
  }
  return truth;
}

PseudoLabelQuality MeasurePseudoLabels(std::span<const LabelSet> sets, const LabelTruth& truth) {
  PseudoLabelQuality quality;
  if (!sets.empty()) quality.per_class.resize(sets.front().classes.size());
  std::vector<Tally> labelled_as(quality.per_class.size());
  std::array<BinTally, kReliabilityBins> bins{};
  Tally accepted, all;
  for (const LabelSet& set : sets) {
    const LabelCounts counts = set.Counts();
    quality.counts.read += counts.read;
    quality.counts.labelled += counts.labelled;
    quality.counts.abstained += counts.abstained;
    quality.counts.quarantined += counts.quarantined;
    for (const auto& [reason, count] : set.reasons) quality.reasons[reason] += count;
    for (std::size_t i = 0; i < set.size(); ++i) {
      const auto found = truth.find(set.key[i]);
      const int expected = found == truth.end() ? -1 : found->second;
      if (expected >= 0) ++quality.per_class[static_cast<std::size_t>(expected)].true_count;
      if (set.status[i] == LabelStatus::kQuarantined) continue;
      const std::uint8_t label = set.label[i];
      const std::uint64_t right = expected == label ? 1 : 0;
      const std::uint64_t known = expected >= 0 ? 1 : 0;
      const auto add = [&](Tally& tally) {
        tally.with_truth += known;
        tally.correct += right;
      };
      add(all);
      const auto confidence = static_cast<double>(io::FloatFromHalf(set.confidence_half[i]));
      BinTally& bin = bins[std::min(static_cast<std::size_t>(confidence * kReliabilityBins), kReliabilityBins - 1)];
      ++bin.count;
      bin.confidence += confidence;
      add(bin.tally);
      if (set.status[i] != LabelStatus::kLabelled) continue;
      add(accepted);
      add(labelled_as[label]);
      ++quality.per_class[label].labelled;
      quality.per_class[label].correct += right;
    }
  }
  for (std::size_t c = 0; c < quality.per_class.size(); ++c) {
    quality.per_class[c].precision = Share(labelled_as[c].correct, labelled_as[c].with_truth);
    quality.per_class[c].recall = Share(quality.per_class[c].correct, quality.per_class[c].true_count);
  }
  for (std::size_t b = 0; b < kReliabilityBins; ++b) {
    const BinTally& bin = bins[b];
    quality.reliability[b] = {bin.count, bin.count == 0 ? 0 : bin.confidence / static_cast<double>(bin.count),
                              Share(bin.tally.correct, bin.tally.with_truth)};
  }
  const std::uint64_t sound = quality.counts.labelled + quality.counts.abstained;
  quality.coverage = sound == 0 ? 0 : Share(quality.counts.labelled, sound);
  quality.accuracy = Share(accepted.correct, accepted.with_truth);
  quality.accuracy_without_threshold = Share(all.correct, all.with_truth);
  return quality;
}

}  // namespace ferment::dataset
