// SPDX-License-Identifier: Apache-2.0
#include "common/nn/cuda_device.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/cuda.h>

#include <string>

#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

constexpr char kCudaHalf[] = "libtorch_cuda.so";

c10::Device CudaDevice(int index) { return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)}; }

Status Missing(Status status) { return status.ok() ? status : status.WithExitCode(exit_code::kMissingService); }

}  // namespace

Status OpenCuda() {
  // Global: its symbols register themselves with the CPU half.
  if (dlopen(kCudaHalf, RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return Missing(FailedPreconditionError(
        std::string("LibTorch's CUDA half cannot be opened; run tools/install_cuda_libraries.sh: ") + dlerror()));
  }
  int devices = 0;
  FERMENT_RETURN_IF_ERROR(Missing(Guard([&] { devices = CudaDevices(); })));
  if (devices > 0) return Status();
  return Missing(
      NotFoundError("there is no GPU to compute on; install NVIDIA's driver and look at nvidia-smi: devices=0"));
}

int CudaDevices() { return static_cast<int>(torch::cuda::device_count()); }

Status UseCudaDevice(int index) {
  return Missing(Guard([&]() -> Status {
    if (index >= CudaDevices())
      return FailedPreconditionError("LibTorch has no such CUDA device: index=" + std::to_string(index) +
                                     " devices=" + std::to_string(CudaDevices()));
    c10::impl::VirtualGuardImpl(c10::kCUDA).setDevice(CudaDevice(index));
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    return Status();
  }));
}

Status OfTheGpu(const Status& status) {
  // LibTorch tells what befell the device by text alone.
  const std::string text(status.message());
  const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
  if (says("out of memory")) {
    return ResourceExhaustedError(
        "the GPU's memory is too small for a batch; lower labeling.batch, or give the GPU to fewer processes: " + text);
  }
  if (!says("CUDA error") && !says("cuDNN error")) return status;
  return Missing(UnavailableError("the GPU no longer answers; look at nvidia-smi and the kernel's log: " + text));
}

void* CurrentCudaStream(int index) {
  return c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(CudaDevice(index)).native_handle();
}

}  // namespace ferment::nn
