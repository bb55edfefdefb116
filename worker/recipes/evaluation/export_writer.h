// SPDX-License-Identifier: Apache-2.0
//
// The export folder: what `ferment predict` and PyTorch load.
#pragma once

#include <optional>

#include "common/base/json.h"
#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

struct ExportedModels {
  /// torchvision's names.
  NamedTensors student;
  /// The spec's encoder over the student's features, where there are videos.
  std::optional<NamedTensors> temporal;
  std::int64_t feature_size = 0;
};

/// Writes export/{student,temporal}.safetensors, model.json and MODEL_CARD.md with these figures. Errors: as
/// WriteFileAtomically.
Status WriteExport(const RunSpec& spec, const RunLayout& layout, const ExportedModels& models, const Json& evaluation);

}  // namespace ferment::worker
