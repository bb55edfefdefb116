// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/video_evaluation.h"

#include <array>
#include <cstdio>
#include <span>

#include "common/io/atomic_file.h"
#include "common/nn/temporal/temporal_inference.h"
#include "common/report/classification_metrics.h"

namespace ferment::worker {

void VideoEvaluation::Run(const TemporalStage& stage, nn::TemporalEncoder& encoder, const std::vector<Clip>& clips) {
  order_.push_back(stage);
  std::vector<Prediction>& predictions = stages_[stage.Role()];
  nn::FramePredictor predictor(encoder, spec_.classes_size(), spec_.temporal().window(), spec_.temporal().hop());
  for (const Clip& clip : clips) {
    if (clip.set == dataset::VideoSet::kTrain) continue;
    predictions.push_back({clip.video, clip.set, clip.labels, predictor.Predict(clip.frames)});
  }
}

const std::vector<VideoEvaluation::Prediction>& VideoEvaluation::Of(const std::string& features,
                                                                    const std::string& encoder) const {
  return stages_.at(TemporalStage{features, encoder}.Role());
}

VideoEvaluation::Scores VideoEvaluation::Score(const std::vector<Prediction>& predictions,
                                               std::size_t half_width) const {
  report::ConfusionMatrix matrix(spec_.classes_size());
  for (const Prediction& prediction : predictions) {
    if (prediction.set != dataset::VideoSet::kValidation) continue;
    const std::vector<int> classes = nn::ArgmaxRows(nn::BoxSmooth(prediction.probabilities, half_width));
    for (std::size_t i = 0; i < classes.size(); ++i) matrix.Add(prediction.labels[i], classes[i]);
  }
  return {matrix.MacroF1(), matrix.PerClassF1()};
}

Json VideoEvaluation::Figures() const {
  Json rows = Json::array();
  std::vector<std::uint32_t> half_widths = {0};
  if (spec_.smoothing().half_width() > 0) half_widths.push_back(spec_.smoothing().half_width());
  for (const TemporalStage& stage : order_) {
    for (const std::uint32_t half_width : half_widths) {
      const Scores scores = Score(stages_.at(stage.Role()), half_width);
      Json row;
      row["features"] = stage.features;
      row["temporal"] = stage.encoder;
      row["smoothing_half_width"] = half_width;
      row["macro_f1"] = scores.macro_f1;
      row["per_class_f1"] = scores.per_class_f1;
      row["optimistic"] = ReportsBest(spec_);
      rows.push_back(row);
    }
  }
  return rows;
}

Json VideoEvaluation::Ablation() const {
  Json rows = Json::array();
  const std::string kind = spec_.temporal().encoder();
  for (const bool semi_supervised : {false, true}) {
    for (const bool temporal : {false, true}) {
      if (temporal && kind == "none") continue;
      for (const bool smoothing : {false, true}) {
        if (smoothing && spec_.smoothing().half_width() == 0) continue;
        const auto& predictions = Of(semi_supervised ? "student" : "teacher", temporal ? kind : "none");
        Json row;
        row["semi_supervised"] = semi_supervised;
        row["temporal"] = temporal;
        row["smoothing"] = smoothing;
        row["macro_f1"] = Score(predictions, smoothing ? spec_.smoothing().half_width() : 0).macro_f1;
        row["optimistic"] = ReportsBest(spec_);
        rows.push_back(row);
      }
    }
  }
  return rows;
}

double VideoEvaluation::FlipRatio() const {
  std::size_t pairs = 0;
  std::size_t flips = 0;
  for (const Prediction& prediction : Of("student", spec_.temporal().encoder())) {
    if (prediction.set != dataset::VideoSet::kValidation) continue;
    const auto classes = nn::ArgmaxRows(nn::BoxSmooth(prediction.probabilities, spec_.smoothing().half_width()));
    for (std::size_t i = 1; i < classes.size(); ++i) {
      ++pairs;
      if (classes[i] != classes[i - 1]) ++flips;
    }
  }
  return pairs == 0 ? 0 : static_cast<double>(flips) / static_cast<double>(pairs);
}

Status VideoEvaluation::WriteCsv(const std::filesystem::path& file) const {
  const std::vector<Prediction>& frame_by_frame = Of("student", "none");
  const std::vector<Prediction>& temporal = Of("student", spec_.temporal().encoder());
  std::string text = "video,frame,label,prediction_static,prediction_temporal,prediction\n";
  for (std::size_t v = 0; v < temporal.size(); ++v) {
    if (temporal[v].set != dataset::VideoSet::kValidation) continue;
    const auto without = nn::ArgmaxRows(frame_by_frame[v].probabilities);
    const auto with = nn::ArgmaxRows(temporal[v].probabilities);
    const auto smooth = nn::ArgmaxRows(nn::BoxSmooth(temporal[v].probabilities, spec_.smoothing().half_width()));
    for (std::size_t i = 0; i < with.size(); ++i)
      text += temporal[v].video + ',' + std::to_string(i + 1) + ',' + std::to_string(temporal[v].labels[i]) + ',' +
              std::to_string(without[i]) + ',' + std::to_string(with[i]) + ',' + std::to_string(smooth[i]) + '\n';
  }
  return io::WriteFileAtomically(file, std::as_bytes(std::span(text)));
}

Status VideoEvaluation::WriteSubmission(const std::filesystem::path& folder) const {
  std::string header = "image_location";
  for (const std::string& name : spec_.classes()) header += ',' + name;
  header += '\n';
  for (const Prediction& prediction : Of("student", spec_.temporal().encoder())) {
    if (prediction.set != dataset::VideoSet::kTest) continue;
    const auto classes = nn::ArgmaxRows(nn::BoxSmooth(prediction.probabilities, spec_.smoothing().half_width()));
    std::string text = header;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      std::array<char, 32> name{};
      std::snprintf(name.data(), name.size(), "/%05zu.jpg,%d\n", i + 1, classes[i]);
      text += prediction.video + name.data();
    }
    FERMENT_RETURN_IF_ERROR(
        io::WriteFileAtomically(folder / (prediction.video + ".txt"), std::as_bytes(std::span(text))));
  }
  return {};
}

}  // namespace ferment::worker
