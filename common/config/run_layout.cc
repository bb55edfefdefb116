// SPDX-License-Identifier: Apache-2.0
#include "common/config/run_layout.h"

namespace ferment {

std::string JobId(std::string_view phase, std::uint32_t round) {
  std::string id(phase);
  if (round > 0) id += "-" + std::to_string(round);
  return id;
}

std::filesystem::path RunLayout::Model(std::string_view job_id, std::string_view role) const {
  return Job(job_id) / "models" / (std::string(role) + ".safetensors");
}

std::filesystem::path RunLayout::Nonfinite(std::string_view job_id, std::uint64_t step) const {
  return Job(job_id) / ("nonfinite-" + std::to_string(step));
}

std::filesystem::path RunLayout::Log(std::string_view job_id) const {
  return root_ / "logs" / (std::string(job_id) + ".jsonl");
}

std::filesystem::path RunLayout::Curve(std::string_view job_id) const {
  return root_ / "logs" / ("curve-" + std::string(job_id) + ".jsonl");
}

std::filesystem::path RunLayout::LabelSets(std::string_view dataset, std::string_view teacher,
                                           std::string_view label_config) const {
  return root_ / "labels" / dataset / teacher.substr(0, 16) / label_config.substr(0, 16);
}

std::filesystem::path RunLayout::Features(std::string_view dataset, std::string_view model) const {
  return root_ / "features" / dataset / model.substr(0, 16);
}

}  // namespace ferment
