// SPDX-License-Identifier: Apache-2.0
//
// Classes of pictures by an exported model, for people and for programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::labeler {

enum class PredictFormat { kText, kJson, kCsv };

struct PredictOptions {
  /// Folder with model.json and student.safetensors.
  std::filesystem::path model;
  /// Pictures, or folders of them.
  std::vector<std::filesystem::path> paths;
  PredictFormat format = PredictFormat::kText;
};

struct PredictReport {
  /// For standard output.
  std::string text;
  /// Pictures that could not be read; each was logged.
  int failures = 0;
};

/// Errors: NotFound where the model, a path, or every picture is missing; DataLoss for a damaged model.
Result<PredictReport> Predict(const PredictOptions& options);

}  // namespace ferment::labeler
