// SPDX-License-Identifier: Apache-2.0
//
// Weights as others publish them: PyTorch's zip files, read without executing their pickle, and safetensors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/io/formats/safetensors_file.h"

namespace ferment::io {

/// Tensors of their own memory, C order. A value; `views` point into `data`.
struct WeightsFile {
  /// "torch" or "safetensors".
  std::string format;
  /// The key the state dict stood under; empty where it was the whole file.
  std::string path;
  NamedTensorViews views;
  /// Moved, never copied: a copy's views would point into the original.
  std::vector<std::vector<std::byte>> data;

  WeightsFile() = default;
  WeightsFile(WeightsFile&&) noexcept = default;
  WeightsFile& operator=(WeightsFile&&) noexcept = default;
  WeightsFile(const WeightsFile&) = delete;
  WeightsFile& operator=(const WeightsFile&) = delete;
  ~WeightsFile() = default;

  void Add(std::string name, TensorView view, std::vector<std::byte> bytes);
};

/// Reads a torch.save zip; the whole pickle and every size is checked before the first tensor is built.
/// Errors: DataLoss with what was found and what is read.
Result<WeightsFile> ParseTorchZip(std::span<const std::byte> bytes);

/// Tells the format by the bytes, not by the name. Errors: NotFound; DataLoss with the file, for damage, for PyTorch's
/// older formats, which are named and never unpickled, and for anything else.
Result<WeightsFile> ReadWeights(const std::filesystem::path& path);

}  // namespace ferment::io
