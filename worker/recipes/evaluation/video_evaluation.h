// SPDX-License-Identifier: Apache-2.0
//
// Frame predictions of every video by each encoder, and the figures, files and ablation that follow.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "common/nn/temporal/frame_predictions.h"
#include "common/nn/temporal/temporal_encoder.h"
#include "worker/feed/clip_feed.h"
#include "worker/recipes/temporal_stage.h"

namespace ferment::worker {

/// Probabilities before smoothing, filled stage by stage. One thread.
class VideoEvaluation {
 public:
  /// `spec` outlives it.
  explicit VideoEvaluation(const RunSpec& spec) : spec_(spec) {}

  /// Predicts validation and test clips with one trained encoder.
  void Run(const TemporalStage& stage, nn::TemporalEncoder& encoder, const std::vector<Clip>& clips);

  /// Returns: evaluation.video of report.json: every stage, without smoothing and with the spec's.
  Json Figures() const;
  /// Returns: evaluation.ablation: semi_supervised x temporal x smoothing, as far as the spec has them.
  Json Ablation() const;
  /// Returns: the share of neighbouring frames of the validation videos that the full system names differently; 0 where
  /// none has a neighbour.
  double FlipRatio() const;
  /// Writes video,frame,label,prediction_static,prediction_temporal,prediction a frame of the validation videos.
  Status WriteCsv(const std::filesystem::path& file) const;
  /// Writes <folder>/<video>.txt in the challenge's format for every test video, by the full system. In one without a
  /// single face every row has the first class, the lowest of equally likely ones.
  Status WriteSubmission(const std::filesystem::path& folder) const;

 private:
  struct Prediction {
    std::string video;
    dataset::VideoSet set;
    std::vector<int> labels;
    nn::FrameTable probabilities;
  };
  struct Scores {
    double macro_f1;
    std::vector<double> per_class_f1;
  };
  const std::vector<Prediction>& Of(const std::string& features, const std::string& encoder) const;
  Scores Score(const std::vector<Prediction>& predictions, std::size_t half_width) const;

  const RunSpec& spec_;
  std::vector<TemporalStage> order_;
  /// By TemporalStage::Role.
  std::map<std::string, std::vector<Prediction>> stages_;
};

}  // namespace ferment::worker
