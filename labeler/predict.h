// SPDX-License-Identifier: Apache-2.0
//
// Classes of pictures and of videos' frames by an exported model, for people and for programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "labeler/inference_device.h"
#include "labeler/prediction_table.h"

namespace ferment::labeler {

struct PredictOptions {
  /// Folder with model.json and the weights.
  std::filesystem::path model;
  /// Pictures, or folders of them.
  std::vector<std::filesystem::path> paths;
  PredictFormat format = PredictFormat::kText;
  /// Every picture by itself: no temporal encoder, no smoothing.
  bool picture_by_picture = false;
  InferenceDevice device = {};
};

struct PredictReport {
  /// For standard output.
  std::string text;
  /// Pictures that could not be read; each was logged and has no row, or in a video a filled one.
  int skipped = 0;
};

/// A row a picture; for a folder of a video's frames and a model with a temporal encoder a row a frame from 1 to the
/// last, as an evaluation predicts it. Errors: NotFound where the model or a path is missing; DataLoss where no
/// picture could be read; those of OpenExportedModel.
Result<PredictReport> Predict(const PredictOptions& options);

}  // namespace ferment::labeler
