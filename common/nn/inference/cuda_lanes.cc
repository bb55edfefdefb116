// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/cuda_lanes.h"

#include <ATen/Context.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include <chrono>
#include <thread>

#include "common/nn/cuda_device.h"
#include "common/nn/preprocess.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

/// One computes, one's pictures arrive, one's answers leave.
constexpr int kLanes = 3;
/// A core that waits for the device can decode meanwhile: far less than a batch takes, far more than asking does.
constexpr std::chrono::microseconds kPoll(50);

void Await(const c10::Stream& stream) {
  while (!stream.query()) std::this_thread::sleep_for(kPoll);
}

torch::Tensor ToHost(const torch::Tensor& tensor) {
  auto host = torch::empty(tensor.sizes(), torch::TensorOptions(tensor.scalar_type()).pinned_memory(true));
  return host.copy_(tensor, /*non_blocking=*/true);
}

}  // namespace

/// Has a stream for as long as it lives.
class CudaLanes::Lane {
 public:
  explicit Lane(CudaLanes& lanes) : lanes_(lanes), stream_(Take(lanes)) {}
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() {
    {
      const std::lock_guard lock(lanes_.mutex_);
      lanes_.free_.push_back(stream_);
    }
    lanes_.freed_.notify_one();
  }
  const c10::Stream& stream() const { return stream_; }

 private:
  static c10::Stream Take(CudaLanes& lanes) {
    std::unique_lock lock(lanes.mutex_);
    lanes.freed_.wait(lock, [&] { return !lanes.free_.empty(); });
    const c10::Stream stream = lanes.free_.back();
    lanes.free_.pop_back();
    return stream;
  }

  CudaLanes& lanes_;
  const c10::Stream stream_;
};

CudaLanes::CudaLanes(int device) : device_(torch::kCUDA, static_cast<c10::DeviceIndex>(device)) {
  at::globalContext().setBenchmarkCuDNN(false);
  at::globalContext().setDeterministicCuDNN(true);
  const c10::impl::VirtualGuardImpl cuda(torch::kCUDA);
  for (int i = 0; i < kLanes; ++i) free_.push_back(cuda.getStreamFromGlobalPool(device_));
}

Result<Prediction> CudaLanes::Run(const InferencePlan& plan, const torch::Tensor& pixels) {
  const Lane lane(*this);
  auto prediction = Guard([&]() -> Result<Prediction> {
    const c10::StreamGuard on_lane(lane.stream());
    const auto images = Normalize(pixels.to(device_, /*non_blocking=*/true));
    FERMENT_ASSIGN_OR_RETURN(const Prediction there, plan.Run(images));
    const Prediction here{ToHost(there.features), ToHost(there.logits)};
    Await(lane.stream());
    return here;
  });
  if (!prediction) return Fail(OfTheGpu(prediction.error()));
  return prediction;
}

}  // namespace ferment::nn
