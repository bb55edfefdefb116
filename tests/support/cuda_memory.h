// SPDX-License-Identifier: Apache-2.0
//
// The contract's buffers on a CUDA device, or on what stands in for one.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "tests/contract/contract_buffer.h"

namespace ferment::testing {

/// On the calling thread's device.
inline ContractMemory CudaMemory() {
  ContractMemory memory;
  memory.allocate = [](std::size_t bytes) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, bytes), cudaSuccess);
    return data;
  };
  memory.free = [](void* data) { cudaFree(data); };
  memory.copy = [](void* to, const void* from, std::size_t bytes) {
    EXPECT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), cudaSuccess);
  };
  return memory;
}

}  // namespace ferment::testing
