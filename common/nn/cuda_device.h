// SPDX-License-Identifier: Apache-2.0
//
// LibTorch's CUDA half, which nothing links: opened when a program is to compute on GPUs, and set up there.
#pragma once

#include "common/base/status.h"

namespace ferment::nn {

/// Opens the CUDA half, which takes a second, for as long as the process lives. Errors (69): FailedPrecondition where
/// its libraries are not there, NotFound where it finds no device.
Status OpenCuda();

/// Returns: the devices that this process may use. Requires: OpenCuda.
int CudaDevices();

/// Makes `index` the calling thread's device, so that no context is made on another rank's, and float32 mean float32:
/// TF32, which convolutions use by default, is off. Errors: FailedPrecondition (69) where LibTorch has no such device.
Status UseCudaDevice(int index);

/// Returns: the failure of a pass on a GPU as what it means: Unavailable (69) where the device no longer answers, after
/// which nothing on it succeeds in this process; ResourceExhausted where its memory is too small; else the same.
Status OfTheGpu(const Status& status);

/// Returns: the cudaStream_t that the calling thread's tensors on this device are computed on. Throws c10::Error.
void* CurrentCudaStream(int index);

}  // namespace ferment::nn
