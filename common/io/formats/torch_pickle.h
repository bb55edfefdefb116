// SPDX-License-Identifier: Apache-2.0
//
// Reads the pickle of a PyTorch checkpoint as a list of tensors to rebuild: it names and refuses all else, and calls
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// A tensor as the pickle describes it: a view of a storage that another member of the zip holds.
struct PlannedTensor {
  std::string name;
  /// safetensors' spelling, such as "F32".
  std::string dtype;
  std::string storage;
  /// In elements, as all that follows.
  std::int64_t storage_size = 0;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;
};

struct TorchPlan {
  /// The key the state dict stood under, such as "state_dict"; empty where it was the whole file.
  std::string path;
  std::vector<PlannedTensor> tensors;
};

/// Returns: the tensors of the state dict, in its order. Every view lies inside its storage's stated size.
/// Errors: DataLoss with the byte in the pickle, for anything but dicts, lists, numbers, texts and tensors.
Result<TorchPlan> ParseTorchPickle(std::span<const std::byte> pickle);

}  // namespace ferment::io
