// SPDX-License-Identifier: Apache-2.0
//
// Everything a report says about one run, as plain values: read once from the run's folder, then rendered.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ferment::report {

/// One job of the run as the coordinator accounted for it.
struct PhaseFigures {
  std::string job_id = {};
  std::string phase = {};
  int round = 0;
  std::string status = {};
  int attempts = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  double peak_rss_bytes = 0;
  double samples = 0;
  std::string failure = {};
  double canaries = 0;  // of a label job: held-out labelled faces that travelled among the records
  double canaries_correct = 0;
};

/// What was read of the labelled faces for training or validation, and what of it was left out.
struct FaceRows {
  std::string set = {};
  double rows = 0;
  double faces = 0;
  std::vector<std::pair<std::string, double>> left_out = {};  // by reason
};

/// One network on one set of labelled faces.
struct StaticFigures {
  std::string model = {};
  std::string dataset = {};
  double macro_f1 = 0;
  std::vector<double> per_class_f1 = {};
  double accuracy = 0;
  std::vector<std::vector<double>> confusion = {};  // [label][prediction]
  double ece = 0;
  bool optimistic = false;  // the network was chosen by this figure
};

/// One combination of features, encoder and smoothing on the validation videos.
struct VideoFigures {
  std::string features = {};
  std::string temporal = {};
  int smoothing_half_width = 0;
  double macro_f1 = 0;
  std::vector<double> per_class_f1 = {};
  bool optimistic = false;  // network and encoder were chosen by such figures
};

struct AblationFigures {
  bool semi_supervised = false;
  bool temporal = false;
  bool smoothing = false;
  double macro_f1 = 0;
  bool optimistic = false;
};

/// One of 15 bins of confidence: how sure, and how often right.
struct ReliabilityBin {
  double count = 0;
  double confidence = 0;
  double accuracy = 0;
};

/// The label sets that one teacher's labelling left.
struct PseudoLabelFigures {
  std::string teacher = {};
  double records = 0;
  double labelled = 0;
  double abstained = 0;
  double quarantined = 0;
  std::vector<double> class_histogram = {};
  std::optional<double> accuracy = {};  // among labelled records that the truth file knows
  std::optional<double> coverage = {};
  double canaries = 0;  // held-out labelled faces that travelled among the records
  double canaries_correct = 0;
  std::vector<double> per_class_accuracy = {};
  std::vector<ReliabilityBin> reliability = {};
};

struct Series {
  std::string name = {};
  std::vector<std::pair<double, double>> points = {};
};

/// What a trainer logged step by step.
struct Curve {
  std::string job_id = {};
  std::vector<Series> series = {};
};

/// Classes of consecutive frames of one video; -1 where there is none.
struct Timeline {
  std::string video = {};
  std::vector<int> frames = {};
  std::vector<int> truth = {};
  std::vector<int> without_encoder = {};
  std::vector<int> with_encoder = {};
  std::vector<int> smoothed = {};
};

/// An unlabelled face with the class a teacher gave it.
struct SampleFace {
  int label = 0;
  double confidence = 0;
  std::string jpeg = {};
};

struct RunFigures {
  std::string name = {};
  std::string status = {};
  std::string failure = {};
  /// Why rounds were left out, where they were.
  std::string stopped_teacher = {};
  std::uint64_t seed = 0;
  std::vector<std::string> classes = {};
  std::string data_summary = {};
  std::string model_summary = {};
  std::vector<PhaseFigures> phases = {};
  std::vector<FaceRows> faces_read = {};
  std::vector<StaticFigures> statics = {};
  std::vector<VideoFigures> videos = {};
  std::vector<AblationFigures> ablation = {};
  std::vector<PseudoLabelFigures> pseudo_labels = {};
  std::string student_digest = {};
  std::string export_dir = {};
  std::vector<Curve> curves = {};
  std::optional<Timeline> timeline = {};
  std::vector<SampleFace> faces = {};
  std::string truth_note = {};
  std::vector<ReliabilityBin> student_reliability = {};
};

}  // namespace ferment::report
