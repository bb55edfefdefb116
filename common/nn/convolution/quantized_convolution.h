// SPDX-License-Identifier: Apache-2.0
//
// A convolution of 7-bit activations with 8-bit weights, exact in integers, and all that follows it in the same pass.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>

#include "common/nn/kernels/convolution_rows.h"
#include "common/nn/kernels/quantized_tiles.h"

namespace ferment::nn {

/// What a byte of an activation stands for: scale * (byte - zero), with bytes from 0 to kHighestByte.
struct Quantization {
  float scale = 1;
  std::int32_t zero = 0;
};

/// Returns: [n, h, w, channels] uint8, not filled, with some bytes behind it that may be read.
torch::Tensor NewBytes(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t channels);

/// Returns: min(max(round(x / scale + zero), 0), kHighestByte) of `x` [N, H, W, C] float32, dense, without NaN.
torch::Tensor Quantize(const torch::Tensor& x, const Quantization& as);

struct QuantizedConvolutionSetup {
  torch::Tensor weight;  // [O, I, kernel, kernel] float32
  torch::Tensor bias;    // [O] float32
  ConvolutionShape shape = {};
  Quantization input = {};
  /// Of what is added to the result; absent: nothing is.
  std::optional<Quantization> residual = {};
  bool rectify = false;
  torch::Tensor slope = {};  // [O] of a PReLU, or undefined
  /// Absent: float32 comes out.
  std::optional<Quantization> output = {};
  /// All give the same.
  QuantizedTiles tiles = FastestQuantizedTiles();
};

/// With AVX2 a byte times a weight is added to its neighbour's in 16 bits, eight products at most, and then in 32; with
/// VNNI four go to 32 bits at once. Weights are scaled, output channel by output channel, so that no sum can leave 16
/// bits whatever the bytes are. Sums are therefore those of integers: the same on any machine, in any order, on any
/// number of threads.
///
/// Thread: any number at a time; a call works on its own thread.
class QuantizedConvolution {
 public:
  /// Returns: whether this processor has the instructions: AVX2 with FMA.
  static bool SuitsThisProcessor();

  /// Requires: finite weights, scales above zero.
  explicit QuantizedConvolution(const QuantizedConvolutionSetup& setup);

  /// `x` [N, H, W, I] of NewBytes; `residual` as the result, where the setup has one. Returns: [N, H', W', O], of
  /// NewBytes or float32. Requires: SuitsThisProcessor().
  torch::Tensor Run(const torch::Tensor& x, const torch::Tensor& residual = {}) const;

  /// The weights in integers, [O, I, kernel, kernel] int8; for tests.
  const torch::Tensor& integers() const { return integers_; }
  /// What a unit of each channel's integers stands for, [O] float32.
  const torch::Tensor& weight_scale() const { return weight_scale_; }

 private:
  /// Requires: weights of few input channels, whose kernel's rows are read from a copy with padding as one tap.
  bool WholeRows() const;

  ConvolutionShape shape_;
  std::int64_t in_;
  std::int64_t out_;
  std::int32_t input_zero_;
  bool rectify_;
  bool to_float_;
  QuantizedTiles tiles_;
  float moved_by_ = 0;
  float residual_scale_ = 0;
  torch::Tensor integers_;
  torch::Tensor weight_scale_;
  torch::Tensor packed_;      // [blocks of 16 outputs][tap][four input channels][16 outputs][4], and slack
  torch::Tensor multiplier_;  // [whole blocks] float32: from a sum to the output's unit
  torch::Tensor offset_;      // [whole blocks] float32, in the output's unit
  torch::Tensor slope_;       // [whole blocks] float32, or undefined
};

}  // namespace ferment::nn
