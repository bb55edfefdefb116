// SPDX-License-Identifier: Apache-2.0
//
// Which encoders the temporal phase trains and the evaluation compares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/run_spec.h"

namespace ferment::worker {

/// One encoder over one network's features.
struct TemporalStage {
  /// student: the semi-supervised network; teacher: the supervised-only one.
  std::string features;
  /// The spec's kind, or none.
  std::string encoder;

  std::string Role() const { return "temporal_" + features + "_" + encoder; }
};

/// Returns: {student, teacher} x {the spec's encoder, none}, without repeating `none`.
inline std::vector<TemporalStage> TemporalStages(const RunSpec& spec) {
  std::vector<TemporalStage> stages;
  for (const char* features : {"student", "teacher"}) {
    stages.push_back({features, spec.temporal().encoder()});
    if (spec.temporal().encoder() != "none") stages.push_back({features, "none"});
  }
  return stages;
}

/// Returns: the role under which the finetune job published the network behind these features.
inline std::string FeatureModelRole(std::string_view features) {
  return features == "teacher" ? "baseline" : "student";
}

}  // namespace ferment::worker
