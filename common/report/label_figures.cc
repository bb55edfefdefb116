// SPDX-License-Identifier: Apache-2.0
#include "common/report/label_figures.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <tuple>

#include "common/base/random.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/formats/half_float.h"

namespace ferment::report {
namespace {

constexpr std::size_t kFacesOfAClass = 4;
constexpr std::size_t kLargestFaceBytes = 64 * 1024;

std::vector<std::filesystem::path> FoldersIn(const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> folders;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) folders.push_back(entry->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

PseudoLabelFigures FiguresOf(const std::vector<dataset::LabelSet>& sets, const dataset::LabelTruth& truth) {
  const dataset::PseudoLabelQuality quality = dataset::MeasurePseudoLabels(sets, truth);
  PseudoLabelFigures row{.teacher = sets.front().origin.teacher};
  row.records = static_cast<double>(quality.counts.read);
  row.labelled = static_cast<double>(quality.counts.labelled);
  row.abstained = static_cast<double>(quality.counts.abstained);
  row.quarantined = static_cast<double>(quality.counts.quarantined);
  for (const dataset::ClassQuality& one : quality.per_class) {
    row.class_histogram.push_back(static_cast<double>(one.labelled));
    row.per_class_accuracy.push_back(one.precision);
  }
  row.coverage = quality.coverage;
  if (std::isfinite(quality.accuracy)) row.accuracy = quality.accuracy;
  for (const dataset::ReliabilityBin& bin : quality.reliability) {
    row.reliability.push_back(
        {.count = static_cast<double>(bin.count), .confidence = bin.mean_confidence, .accuracy = bin.accuracy});
  }
  return row;
}

/// A labelled record with its place in a draw that is the same each time.
struct Candidate {
  int label;
  std::uint64_t order;
  std::uint64_t key;
  double confidence;

  auto operator<=>(const Candidate& other) const {
    return std::tie(label, order, key) <=> std::tie(other.label, other.order, other.key);
  }
};

std::vector<Candidate> DrawOrder(const std::vector<dataset::LabelSet>& sets, std::uint64_t seed) {
  std::vector<Candidate> candidates;
  for (const dataset::LabelSet& set : sets) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      if (set.status[i] != dataset::LabelStatus::kLabelled) continue;
      candidates.push_back({.label = set.label[i],
                            .order = RandomBits(seed, StreamOf("report-faces"), set.key[i]),
                            .key = set.key[i],
                            .confidence = io::FloatFromHalf(set.confidence_half[i])});
    }
  }
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

std::vector<SampleFace> DrawFaces(const std::vector<dataset::LabelSet>& sets, const RunSpec& spec) {
  const auto source = dataset::OpenFr(spec);
  if (!source) return {};
  std::vector<SampleFace> faces;
  std::vector<std::size_t> taken(sets.front().classes.size(), 0);
  for (const Candidate& candidate : DrawOrder(sets, spec.seed())) {
    std::size_t& count = taken[static_cast<std::size_t>(candidate.label)];
    if (count == kFacesOfAClass) continue;
    const auto place = dataset::IndexOfKey(**source, candidate.key);
    if (!place) continue;
    const auto record = (*source)->Read(*place);
    if (!record || record->image.size() > kLargestFaceBytes) continue;
    faces.push_back({.label = candidate.label,
                     .confidence = candidate.confidence,
                     .jpeg = std::string(reinterpret_cast<const char*>(record->image.data()), record->image.size())});
    ++count;
  }
  return faces;
}

dataset::LabelTruth ReadTruth(const RunSpec& spec, RunFigures& figures) {
  if (spec.labeling().truth().empty()) {
    figures.truth_note = "No file with their true classes is named, so nobody knows how many labels are right.";
    return {};
  }
  Result<dataset::LabelTruth> truth = dataset::ReadLabelTruth(spec.labeling().truth(), spec.classes_size());
  if (truth) return *std::move(truth);
  figures.truth_note = "The file with their true classes cannot be read: " + std::string(truth.error().message());
  return {};
}

}  // namespace

Status ReadLabelFigures(const RunLayout& layout, const RunSpec& spec, const std::vector<std::string>& teachers,
                        RunFigures& figures) {
  const std::filesystem::path labels = layout.root() / "labels" / dataset::DatasetName(spec.data().fr().path());
  const std::vector<std::filesystem::path> known = FoldersIn(labels);
  if (known.empty()) return {};
  const dataset::LabelTruth truth = ReadTruth(spec, figures);
  std::vector<dataset::LabelSet> newest;
  for (const std::string& teacher : teachers) {
    for (const std::filesystem::path& folder : FoldersIn(labels / teacher.substr(0, 16))) {
      FERMENT_ASSIGN_OR_RETURN(const dataset::LabelIndex index, dataset::ReadLabelIndex(folder));
      if (index.empty()) continue;
      FERMENT_ASSIGN_OR_RETURN(std::vector<dataset::LabelSet> sets, dataset::ReadLabelSets(folder));
      figures.pseudo_labels.push_back(FiguresOf(sets, truth));
      newest = std::move(sets);
    }
  }
  if (!newest.empty()) figures.faces = DrawFaces(newest, spec);
  return {};
}

}  // namespace ferment::report
