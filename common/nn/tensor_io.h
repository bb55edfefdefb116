// SPDX-License-Identifier: Apache-2.0
//
// Tensors and networks to and from safetensors files.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/io/formats/safetensors_file.h"

namespace ferment::nn {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Writes atomically, in the given order; `may_appear` is io::WriteFileAtomically's. Errors: those of
/// io::WriteSafetensors.
Status SaveTensors(const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::function<Status()>& may_appear = nullptr);

/// Returns: tensors of their own memory, in the file's order. Errors: NotFound; DataLoss for a damaged file or a type
/// that networks do not have.
Result<NamedTensors> LoadTensors(const std::filesystem::path& path);

/// Returns: tensors of their own memory with these values. Errors: DataLoss for a type that networks do not have.
Result<NamedTensors> CopyTensors(const io::NamedTensorViews& views);

/// Returns: parameters and buffers in the order of PyTorch's state_dict. They share memory with the module.
NamedTensors StateOf(const torch::nn::Module& module);

/// Copies the values into the module; float types convert. Nothing changes on failure. Errors: InvalidArgument naming
/// what is missing, surplus, or of another shape.
Status LoadState(torch::nn::Module& module, const NamedTensors& tensors);

}  // namespace ferment::nn
