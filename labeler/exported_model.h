// SPDX-License-Identifier: Apache-2.0
//
// The networks of a run's export folder, ready to look at pictures and at videos.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/nn/temporal/temporal_plan.h"
#include "labeler/annotator.h"
#include "labeler/inference_device.h"

namespace ferment::labeler {

struct ExportedModel {
  /// Classes and the sections model, temporal and smoothing, as model.json has them.
  RunSpec spec;
  std::unique_ptr<Annotator> annotator;
  /// Absent where the run had no videos.
  std::optional<nn::TemporalPlan> temporal;
};

/// `batch`: pictures a call of the annotator. Errors: NotFound for a missing file; DataLoss (65) for weights that are
/// not the ones that model.json names; DataLoss (78) for a model.json that this version cannot read.
Result<ExportedModel> OpenExportedModel(const std::filesystem::path& folder, std::uint32_t batch,
                                        const InferenceDevice& device);

}  // namespace ferment::labeler
