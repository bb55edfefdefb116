// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/static_evaluation.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "common/io/atomic_file.h"
#include "common/nn/preprocess.h"
#include "common/report/classification_metrics.h"
#include "worker/feed/rank_sampler.h"

namespace ferment::worker {
namespace {

/// Returns: lowest argmax of row i.
int Prediction(const float* row, int classes) { return static_cast<int>(std::max_element(row, row + classes) - row); }

}  // namespace

std::size_t StaticEvaluation::batches() const {
  return (faces_.size() + spec_.evaluate().batch() - 1) / spec_.evaluate().batch();
}

Result<std::size_t> StaticEvaluation::RunBatch(std::size_t index, Collective& world) {
  const torch::NoGradGuard no_grad;
  const std::size_t first = index * spec_.evaluate().batch();
  const std::size_t count = std::min<std::size_t>(spec_.evaluate().batch(), faces_.size() - first);
  const RowRange mine = RowsOfRank(count, world.rank(), world.size());
  torch::Tensor batch = torch::zeros({static_cast<std::int64_t>(count), spec_.classes_size()});
  if (mine.begin < mine.end) {
    std::vector<dataset::Image> images;
    for (std::size_t i = mine.begin; i < mine.end; ++i) {
      auto image = dataset::ReadFace(faces_[first + i]);
      if (!image) return Fail(image.error().With("validation face " + std::to_string(first + i) + ", counted from 0"));
      images.push_back(std::move(*image));
    }
    const torch::Tensor inputs = nn::StackImages(images, static_cast<int>(spec_.model().image_size()))
                                     .to(network_.parameters().front().device());
    batch.slice(0, static_cast<std::int64_t>(mine.begin), static_cast<std::int64_t>(mine.end))
        .copy_(torch::softmax(network_.forward(inputs), 1));
  }
  FERMENT_RETURN_IF_ERROR(
      world.AllReduceSum(std::span(batch.data_ptr<float>(), static_cast<std::size_t>(batch.numel()))));
  probabilities_.slice(0, static_cast<std::int64_t>(first), static_cast<std::int64_t>(first + count)).copy_(batch);
  return count;
}

Json StaticEvaluation::Figures(const std::string& model, const std::string& dataset) const {
  const int classes = spec_.classes_size();
  report::ConfusionMatrix matrix(classes);
  std::vector<report::ScoredPrediction> scored;
  const float* rows = probabilities_.data_ptr<float>();
  for (std::size_t i = 0; i < faces_.size(); ++i) {
    const float* row = rows + i * static_cast<std::size_t>(classes);
    const int prediction = Prediction(row, classes);
    matrix.Add(faces_[i].label, prediction);
    scored.push_back({static_cast<double>(row[prediction]), prediction == faces_[i].label});
  }
  Json figures;
  figures["model"] = model;
  figures["dataset"] = dataset;
  figures["macro_f1"] = matrix.MacroF1();
  figures["per_class_f1"] = matrix.PerClassF1();
  figures["accuracy"] = matrix.Accuracy();
  figures["confusion"] = matrix.Rows();
  figures["ece"] = report::ExpectedCalibrationError(scored);
  return figures;
}

Status StaticEvaluation::WriteCsv(const RunLayout& layout) const {
  const int classes = spec_.classes_size();
  std::string text = "path,label,prediction";
  for (const std::string& name : spec_.classes()) text += ",p_" + name;
  text += '\n';
  const float* rows = probabilities_.data_ptr<float>();
  for (std::size_t i = 0; i < faces_.size(); ++i) {
    const float* row = rows + i * static_cast<std::size_t>(classes);
    text += dataset::ListedPath(spec_, faces_[i], layout.SyntheticData()) + ',' + std::to_string(faces_[i].label) +
            ',' + std::to_string(Prediction(row, classes));
    for (int c = 0; c < classes; ++c) {
      std::array<char, 32> value{};
      std::snprintf(value.data(), value.size(), ",%.9g", static_cast<double>(row[c]));
      text += value.data();
    }
    text += '\n';
  }
  return io::WriteFileAtomically(layout.Evaluation() / "static_validation.csv", std::as_bytes(std::span(text)));
}

}  // namespace ferment::worker
