// SPDX-License-Identifier: Apache-2.0
//
// Opens what a trainer needs beyond its CPU half, which is all that it links: NCCL's module and LibTorch's CUDA
// library.
#pragma once

#include <string>
#include <vector>

#include "worker/collective/nccl_module.h"

namespace ferment::worker {

struct CudaHalf {
  const NcclModule* module = nullptr;
  /// Names by CUDA's index, of this host: "host/PCI address"; never empty.
  std::vector<std::string> devices;
};

/// Looks for a device before it opens LibTorch's half, which takes a second. Stays open until the process ends.
/// Errors (69), saying what to install: NotFound for the module or a device, FailedPrecondition for a module of another
/// build or a LibTorch whose CUDA libraries are not there.
Result<CudaHalf> OpenCudaHalf();

}  // namespace ferment::worker
