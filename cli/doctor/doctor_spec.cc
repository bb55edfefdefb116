// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "cli/doctor/doctor_data.h"
#include "common/base/json.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

double NumberOf(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? std::strtod(found->get<std::string>().c_str(), nullptr) : 0;
}

/// Returns: weights of a network, to a few in a hundred.
double WeightsOf(const v1::ModelSpec& model) {
  // Of the convolutions at width 64; they grow with the width squared.
  const double scale = std::pow(model.width() / 64.0, 2);
  if (model.backbone() == "resnet18") return 11.2e6 * scale;
  if (model.backbone() == "resnet50") return 23.5e6 * scale;
  const double side = std::ceil(model.image_size() / 16.0);
  const double channels = 8.0 * model.width();
  return 30.7e6 * scale + channels * channels * side * side;
}

double WeightsOf(const v1::TemporalSpec& temporal) {
  if (temporal.encoder() == "none") return 0;
  const double width = temporal.d_model();
  return temporal.layers() * (4 * width * width + 2 * width * temporal.feed_forward());
}

}  // namespace

CheckpointCosts ReadCheckpointCosts(const fs::path& run_dir) {
  CheckpointCosts costs;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_dir / "logs", error)) {
    std::ifstream file(entry.path());
    for (std::string text; std::getline(file, text);) {
      if (text.find("\"msg\":\"checkpoint\"") == std::string::npos) continue;
      const auto line = ParseJson(text);
      if (!line || !line->is_object()) continue;
      costs.largest_bytes = std::max(costs.largest_bytes, static_cast<std::uint64_t>(NumberOf(*line, "bytes")));
      const std::chrono::duration<double> took(NumberOf(*line, "waited_seconds") + NumberOf(*line, "write_seconds"));
      costs.longest = std::max(costs.longest, took);
    }
  }
  return costs;
}

std::uint64_t EstimateCheckpointBytes(const RunSpec& spec) {
  // Co-training: teacher, student, the student's average, and a momentum of teacher and student; temporal: weights and
  // AdamW's two moments.
  const double cotrain = 5 * WeightsOf(spec.model());
  const double temporal = 3 * WeightsOf(spec.temporal());
  return static_cast<std::uint64_t>(sizeof(float) * std::max(cotrain, temporal));
}

Findings CheckKillGrace(const CheckpointCosts& costs, std::chrono::seconds grace) {
  if (costs.largest_bytes == 0) return {};
  char text[96];
  std::snprintf(text, sizeof text, "%lld s; the longest checkpoint of this run took %.1f s",
                static_cast<long long>(grace.count()), costs.longest.count());
  return {
      {"kill grace", costs.longest <= grace, text,
       "give more time between TERM and KILL: ferment-coordinator --drain S, the platform's own grace longer still; "
       "or keep the run on a faster disk"}};
}

Findings CheckData(const RunSpec& spec) {
  Findings findings;
  if (!spec.data().has_fr() && spec.data().fer_size() == 0 && !spec.data().has_videos()) {
    return {{"data", true, "none named: the run renders its own"}};
  }
  if (spec.data().fer_size() > 0) {
    findings.push_back(CheckFaces(spec, dataset::FaceSplit::kTrain));
    findings.push_back(CheckFaces(spec, dataset::FaceSplit::kValidation));
  }
  if (spec.data().has_fr()) findings.push_back(CheckRecords(spec));
  if (spec.data().has_videos()) findings.push_back(CheckFrames(spec));
  return findings;
}

}  // namespace ferment::cli
