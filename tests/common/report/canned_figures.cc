// SPDX-License-Identifier: Apache-2.0
#include "tests/common/report/canned_figures.h"

#include <cmath>

#include "common/base/random.h"

namespace ferment::report {
namespace {

constexpr int kClasses = 8;

StaticFigures Static(const char* model, double skill) {
  RandomSequence random(7, StreamOf(model));
  StaticFigures row{
      .model = model, .dataset = "fer", .macro_f1 = skill, .accuracy = skill + 0.08, .ece = 0.12 * (1 - skill)};
  for (int label = 0; label < kClasses; ++label) {
    const double f1 = std::min(0.97, skill + random.Uniform(-0.15, 0.15));
    row.per_class_f1.push_back(f1);
    std::vector<double> line;
    for (int other = 0; other < kClasses; ++other) {
      line.push_back(std::round(label == other ? 100 * f1 : 100 * (1 - f1) / 7 * random.Uniform(0.2, 1.8)));
    }
    row.confusion.push_back(line);
  }
  return row;
}

Series Decay(const char* name, double from, double to, double noise) {
  RandomSequence random(3, StreamOf(name));
  Series series{.name = name, .points = {}};
  for (int step = 0; step < 600; ++step) {
    series.points.emplace_back(step, to + (from - to) * std::exp(-step / 150.0) + random.Uniform(-noise, noise));
  }
  return series;
}

Timeline Video() {
  RandomSequence random(5, StreamOf("video"));
  Timeline line{.video = "24-30-1920x1080-1"};
  for (int frame = 1; frame <= 240; ++frame) {
    const int truth = frame < 60 ? 0 : frame < 130 ? 4 : frame < 160 ? 0 : frame < 220 ? 6 : 0;
    const auto confused = [&](double share) {
      return random.Uniform(0, 1) < share ? static_cast<int>(random.Below(kClasses)) : truth;
    };
    line.frames.push_back(frame);
    line.truth.push_back(frame > 100 && frame < 108 ? -1 : truth);
    line.without_encoder.push_back(confused(0.4));
    line.with_encoder.push_back(confused(0.12));
    line.smoothed.push_back(frame < 63 ? 0 : frame < 128 ? 4 : frame < 163 ? 0 : frame < 219 ? 6 : 0);
  }
  return line;
}

std::vector<ReliabilityBin> Reliability() {
  std::vector<ReliabilityBin> bins(15);
  for (std::size_t i = 2; i < bins.size(); ++i) {
    const double confidence = (static_cast<double>(i) + 0.5) / 15;
    bins[i] = {.count = 20.0 * static_cast<double>(i * i), .confidence = confidence, .accuracy = confidence * 0.9};
  }
  return bins;
}

}  // namespace

RunFigures CannedFigures() {
  RunFigures figures{.name = "demo", .status = "succeeded", .seed = 1};
  figures.classes = {"Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"};
  figures.model_summary = "resnet18, width 16, 56 px; transformer over windows of 64 frames";
  figures.data_summary = "480 labelled faces, 4,000 unlabelled, 24 videos; rendered";
  int place = 0;
  for (const char* phase : {"teacher", "label", "cotrain", "finetune", "features", "temporal", "evaluate"}) {
    const double seconds = 8 + 13.0 * (++place % 4);
    figures.phases.push_back({.job_id = phase,
                              .phase = phase,
                              .status = "succeeded",
                              .attempts = 1,
                              .seconds = seconds,
                              .cpu_seconds = seconds * 1.8,
                              .peak_rss_bytes = 5e8,
                              .samples = 4000});
  }
  figures.statics = {Static("teacher", 0.58), Static("student_before_finetune", 0.66), Static("student", 0.71)};
  figures.videos = {{.features = "student", .temporal = "transformer", .smoothing_half_width = 25, .macro_f1 = 0.78}};
  for (int i = 0; i < 8; ++i) {
    figures.ablation.push_back({.semi_supervised = i >= 4,
                                .temporal = (i & 2) != 0,
                                .smoothing = (i & 1) != 0,
                                .macro_f1 = 0.46 + 0.034 * i + 0.01 * (i % 3)});
  }
  figures.pseudo_labels = {{.teacher = "0f3a9c77d2b1e4aa",
                            .records = 4000,
                            .labelled = 2480,
                            .abstained = 1514,
                            .quarantined = 6,
                            .class_histogram = {900, 110, 90, 60, 700, 240, 300, 80},
                            .accuracy = 0.842,
                            .coverage = 0.62,
                            .per_class_accuracy = {},
                            .reliability = Reliability()}};
  figures.student_digest = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";
  figures.curves = {{.job_id = "teacher", .series = {Decay("loss", 2.1, 0.5, 0.15)}},
                    {.job_id = "cotrain",
                     .series = {Decay("loss_labelled", 0.9, 0.4, 0.1), Decay("loss_unlabelled", 1.4, 0.6, 0.2),
                                Decay("student_loss", 2.0, 0.7, 0.2), Decay("h", 0.01, 0.001, 0.004),
                                Decay("baseline", 0.004, 0.001, 0.0004), Decay("accepted", 20, 96, 6)}}};
  figures.timeline = Video();
  figures.student_reliability = Reliability();
  return figures;
}

}  // namespace ferment::report
