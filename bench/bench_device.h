// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark computes on, and what it asks of that. Nothing here needs CUDA to be built.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace ferment::worker {

/// "cpu", or "cuda": the first GPU, opened and set up as the trainer does it. Requires: LibTorch has not been asked for
/// anything yet. Errors (69): those of nn::OpenCuda.
Result<torch::Device> OpenBenchDevice(const std::string& name);

/// Returns when `device` has done all that it was asked for.
void AwaitDevice(torch::Device device);

/// Returns: bytes of the device's memory that tensors have held at most. Requires: no CPU, and a tensor has been on it.
std::int64_t PeakDeviceBytes(torch::Device device);

}  // namespace ferment::worker
