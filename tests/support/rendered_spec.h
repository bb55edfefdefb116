// SPDX-License-Identifier: Apache-2.0
//
// A spec over tiny rendered sets, for tests of real recipes.
#pragma once

#include <filesystem>
#include <fstream>

#include "common/config/spec_loader.h"
#include "common/dataset/synthetic/synthetic_set.h"

namespace ferment::testing {

/// Renders the sets into `folder`/data. Returns: the spec that draws from them; steps and batches of a few seconds.
inline Result<RunSpec> RenderedSpec(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "spec.yaml")
      << "apiVersion: ferment/v1\nname: tiny\n"
         "data: {synthetic: {faces_train: 32, faces_validation: 16, fr_records: 24, identities: 6, videos_train: 1, "
         "videos_validation: 1, videos_test: 0, frames: 16, image_size: 32}}\n"
         "model: {backbone: resnet18, width: 8, image_size: 32}\nteacher: {steps: 4, batch: 8, lr: 0.05}\n"
         "cotrain: {steps: 5, batch: 4, mu: 2, threshold: 0.1, warmup_steps: 1, lambda_ramp_steps: 2}\n"
         "resources: {device: cpu, threads_per_rank: 1}\n";
  FERMENT_ASSIGN_OR_RETURN(auto loaded, LoadSpec(folder / "spec.yaml"));
  FERMENT_RETURN_IF_ERROR(dataset::RenderSyntheticSets(loaded.spec, folder / "data"));
  dataset::UseSyntheticSets(loaded.spec, folder / "data");
  return std::move(loaded.spec);
}

}  // namespace ferment::testing
