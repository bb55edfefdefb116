// SPDX-License-Identifier: Apache-2.0
//
// An annotator that runs a network of the run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "labeler/annotator.h"

namespace ferment::labeler {

/// Threads of the arithmetic inside one batch. Call once, early in main.
void SetInferenceThreads(int threads);

/// Returns: the network in `weights` with the spec's backbone, classes, labeling.batch and labeling.plan. `digest`
/// (sha256 in hex) may be empty. Errors: DataLoss where the file has another digest; those of InferencePlan::Load.
Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest);

}  // namespace ferment::labeler
