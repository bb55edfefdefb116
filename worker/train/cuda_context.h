// SPDX-License-Identifier: Apache-2.0
//
// LibTorch's CUDA half as the trainer sets it up, once cuda_half has opened it.
#pragma once

#include "common/base/status.h"

namespace ferment::worker {

/// Makes `index` the calling thread's device, so that no context is made on another rank's, and float32 mean float32:
/// TF32, which convolutions use by default, is off. Errors: FailedPrecondition (69) where LibTorch has no such device.
Status UseCudaDevice(int index);

/// Returns: the cudaStream_t that the calling thread's tensors on this device are computed on. Throws c10::Error.
void* CurrentCudaStream(int index);

}  // namespace ferment::worker
