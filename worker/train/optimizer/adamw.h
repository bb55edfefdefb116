// SPDX-License-Identifier: Apache-2.0
//
// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), as torch.optim.AdamW computes it.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/nn/tensor_io.h"

namespace ferment::worker {

using nn::NamedTensors;

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};

/// Owns the moments; shares the parameters. Thread: one at a time.
class AdamW {
 public:
  AdamW(NamedTensors parameters, AdamWOptions options);

  /// One update from the parameters' gradients; a parameter without one is left alone.
  void Step(double learning_rate);

  /// Returns: "first.<parameter>" and "second.<parameter>".
  NamedTensors State() const;
  std::uint64_t steps() const { return steps_; }
  /// Errors: DataLoss for a missing moment or a wrong shape.
  Status Restore(const NamedTensors& state, std::uint64_t steps);

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    torch::Tensor first;
    torch::Tensor second;
  };
  std::vector<Slot> slots_;
  AdamWOptions options_;
  std::uint64_t steps_ = 0;
};

}  // namespace ferment::worker
