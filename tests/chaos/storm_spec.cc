// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/storm_spec.h"

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/event/child_process.h"
#include "tests/chaos/chaos_cluster.h"

namespace ferment::chaos {

namespace fs = std::filesystem;

fs::path WriteStormSpec(const fs::path& folder, int records, std::chrono::milliseconds lease) {
  const fs::path data = folder / "data";
  std::vector<std::string> render = {(ProgramsFolder() / "ferment").string(), "data", "synth", "--out", data.string()};
  const std::pair<const char*, int> sizes[] = {
      {"--faces-train", 32}, {"--faces-validation", 16}, {"--fr-records", records},
      {"--identities", 20},  {"--videos-train", 1},      {"--videos-validation", 1},
      {"--videos-test", 0},  {"--frames", 16},           {"--image-size", 32}};
  for (const auto& [flag, size] : sizes) render.insert(render.end(), {flag, std::to_string(size)});
  auto rendered = event::ChildProcess::Start({.argv = render, .output = folder / "data.txt"});
  FERMENT_CHECK(rendered && rendered->WaitFor(std::chrono::minutes(2)) == 0) << "no data: see data.txt";
  const fs::path spec = folder / "storm.yaml";
  std::ofstream(spec) << "apiVersion: ferment/v1\nname: storm\ndata:\n  fer: {format: folder, path: "
                      << (data / "fer").string() << ", train: train.csv, validation: val.csv}\n"
                      << "  fr: {format: insightface, path: " << (data / "fr").string() << ", shard_records: 8}\n"
                      << "model: {backbone: resnet18, width: 8, image_size: 32}\nteacher: {steps: 2, batch: 8}\n"
                      << "labeling: {batch: 16, min_accuracy: 0, canary_share: 0, lease_seconds: "
                      << lease / std::chrono::seconds(1) << "}\n"
                      << "cotrain: {rounds: 3, steps: 2, batch: 4, mu: 1}\nfinetune: {steps: 2, batch: 8}\n"
                      << "resources: {device: cpu, ranks: 1, threads_per_rank: 1}\n";
  return spec;
}

}  // namespace ferment::chaos
