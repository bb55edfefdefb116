// SPDX-License-Identifier: Apache-2.0
//
// Batches on one GPU beside each other: while one is computed, the next one's pictures travel.
#pragma once

#include <c10/core/Stream.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "common/base/result.h"
#include "common/nn/inference/inference_plan.h"

namespace ferment::nn {

/// Thread: any number at a time; those beyond the lanes wait.
class CudaLanes {
 public:
  /// Requires: UseCudaDevice(device). From now on cuDNN chooses one way for one shape, so that a face's numbers stay
  /// the same.
  explicit CudaLanes(int device);

  /// `pixels` by StackPixelsForGpu; `plan` of this device. Returns: on the CPU. Errors: those of Guard, by OfTheGpu.
  Result<Prediction> Run(const InferencePlan& plan, const torch::Tensor& pixels);

 private:
  class Lane;

  const torch::Device device_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<c10::Stream> free_;  // under mutex_
};

}  // namespace ferment::nn
