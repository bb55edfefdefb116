// SPDX-License-Identifier: Apache-2.0
//
// Batch normalisation whose statistics come from a rank's own rows, from all ranks' rows, or stay as they are.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "common/base/status.h"
#include "common/nn/convolution/convolution.h"
#include "common/nn/convolution/folded_convolution.h"

namespace torch::nn {
class Conv2dImpl;
}

namespace ferment::nn {

enum class BatchNormMode {
  /// Each rank normalises by its own rows.
  kLocal,
  /// Statistics of all ranks' rows as one batch, in the forward and the backward pass.
  kSync,
  /// Running statistics, not updated, also in training.
  kFrozen,
};

/// Adds a small tensor up over ranks. Every rank calls it equally often and in the same order.
class StatisticsExchange {
 public:
  virtual ~StatisticsExchange() = default;
  /// Replaces `values` (contiguous float64, on the network's device) by the sum over ranks. Thread: that of the pass;
  /// a backward pass on a GPU has one of its own.
  virtual Status Sum(const torch::Tensor& values) = 0;
};

/// State: weight, bias, running_mean, running_var, num_batches_tracked, as torch.nn.BatchNorm1d and 2d have them.
/// Momentum 0.1, unbiased running variance, eps 1e-5. Throws c10::Error where the exchange fails: call under Guard.
class BatchNormImpl : public torch::nn::Module {
 public:
  explicit BatchNormImpl(std::int64_t channels);

  /// `x` [N, C] or [N, C, H, W]; any memory format, which is kept. In evaluation mode: running statistics. `x` has the
  /// type of the state, or is bfloat16 while that is float32: so is the result then, and nothing between.
  torch::Tensor forward(const torch::Tensor& x) { return Normalize(x, torch::Tensor(), Epilogue()); }
  /// Requires: `exchange` outlives the module, for kSync; other modes do not look at it.
  void SetMode(BatchNormMode mode, StatisticsExchange* exchange);
  BatchNormMode mode() const { return mode_; }

  /// Moves the evaluation-mode transform into the convolution before it; ConvolveAndNormalize then runs one operation.
  /// For good: the module can no longer be trained or saved.
  void FoldInto(torch::nn::Conv2dImpl& convolution, const Folding& folding);
  /// Returns: batch_norm(convolution(x)), and the epilogue of it.
  torch::Tensor ConvolveAndNormalize(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x,
                                     const Epilogue& epilogue);
  torch::Tensor ConvolveAndNormalize(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x) {
    return ConvolveAndNormalize(convolution, x, Epilogue());
  }

  torch::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  struct Moments {
    torch::Tensor both;  // [2, C] float64, mean and biased variance
    double count;
  };
  /// Whether a batch is normalised by its own moments.
  bool TakesMoments() const { return is_training() && mode_ != BatchNormMode::kFrozen; }
  /// `own`: what ChannelMoments gives of x, where it is known.
  Moments MomentsOf(const torch::Tensor& x, const torch::Tensor& own) const;
  torch::Tensor Normalize(const torch::Tensor& x, const torch::Tensor& own_moments, const Epilogue& epilogue);
  /// By the loops of channel_loops.h.
  torch::Tensor NormalizeInLoops(const torch::Tensor& x, const torch::Tensor& own_moments, const Epilogue& epilogue);
  torch::Tensor NormalizeOverRanks(const torch::Tensor& x);
  void MoveRunningStatistics(const Moments& moments);

  BatchNormMode mode_ = BatchNormMode::kLocal;
  StatisticsExchange* exchange_ = nullptr;
  std::shared_ptr<const FoldedConvolution> folded_;  // modules are copied
};
TORCH_MODULE(BatchNorm);

}  // namespace ferment::nn
