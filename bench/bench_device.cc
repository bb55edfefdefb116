// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_device.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "common/nn/cuda_device.h"

namespace ferment::worker {

Result<torch::Device> OpenBenchDevice(const std::string& name) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  FERMENT_RETURN_IF_ERROR(nn::OpenCuda());
  FERMENT_RETURN_IF_ERROR(nn::UseCudaDevice(0));
  return torch::Device(torch::kCUDA, 0);
}

void AwaitDevice(torch::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

std::int64_t PeakDeviceBytes(torch::Device device) {
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return c10::getDeviceAllocator(device.type())->getDeviceStats(device.index()).allocated_bytes[kAll].peak;
}

}  // namespace ferment::worker
