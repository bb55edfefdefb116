// SPDX-License-Identifier: Apache-2.0
#include "worker/cuda_half.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "common/nn/cuda_device.h"

namespace ferment::worker {
namespace {

constexpr char kModuleFile[] = "libferment_nccl.so";

Status Missing(const Status& why, const char* remedy) {
  return why.With(remedy).WithExitCode(exit_code::kMissingService);
}

}  // namespace

Result<CudaHalf> OpenCudaHalf() {
  const auto module = OpenNcclModule(kModuleFile);
  if (!module)
    return Fail(Missing(module.error(),
                        "the NCCL module cannot be opened; run tools/install_cuda_libraries.sh and build "
                        "with the preset cuda"));
  auto devices = (*module)->list_devices();
  if (!devices)
    return Fail(
        Missing(devices.error(), "there is no GPU to compute on; install NVIDIA's driver and look at nvidia-smi"));
  FERMENT_RETURN_IF_ERROR(nn::OpenCuda());
  std::array<char, 256> host = {};
  gethostname(host.data(), host.size() - 1);
  for (std::string& device : *devices) device = std::string(host.data()) + "/" + device;
  return CudaHalf{*module, *std::move(devices)};
}

}  // namespace ferment::worker
