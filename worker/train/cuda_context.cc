// SPDX-License-Identifier: Apache-2.0
#include "worker/train/cuda_context.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/cuda.h>

#include <string>

#include "common/nn/torch_guard.h"

namespace ferment::worker {
namespace {

c10::Device CudaDevice(int index) { return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)}; }

}  // namespace

Status UseCudaDevice(int index) {
  const Status status = nn::Guard([&]() -> Status {
    const auto count = static_cast<int>(torch::cuda::device_count());
    if (index >= count)
      return FailedPreconditionError("LibTorch has no such CUDA device: index=" + std::to_string(index) +
                                     " devices=" + std::to_string(count));
    c10::impl::VirtualGuardImpl(c10::kCUDA).setDevice(CudaDevice(index));
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    return Status();
  });
  return status.ok() ? status : status.WithExitCode(exit_code::kMissingService);
}

void* CurrentCudaStream(int index) {
  return c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(CudaDevice(index)).native_handle();
}

}  // namespace ferment::worker
