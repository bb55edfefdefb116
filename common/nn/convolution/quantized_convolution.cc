// SPDX-License-Identifier: Apache-2.0
#include "common/nn/convolution/quantized_convolution.h"

namespace ferment::nn {
namespace {

constexpr std::int64_t kOut = kQuantizedTileOutputs;
/// Bytes that a tap's last four, or a vector of them, may reach past the end.
constexpr std::int64_t kSlack = 32;
/// Of the positive, and of the negative, weights of one sum in 16 bits: kHighestByte times this fits.
constexpr double kLargestSum = 32767 / kHighestByte;
/// By as much can rounding enlarge the sum of a group's weights.
constexpr double kRounding = kQuantizedBlock * 4 / 2 * 0.5;

std::int64_t RoundUp(std::int64_t value, std::int64_t to) { return (value + to - 1) / to * to; }

/// Returns: `values` [C] with zeros behind them, whole blocks of outputs.
torch::Tensor WholeBlocks(const torch::Tensor& values) {
  auto whole = torch::zeros({RoundUp(values.size(0), kOut)}, torch::kFloat32);
  whole.slice(0, 0, values.size(0)).copy_(values);
  return whole;
}

/// Returns: [O, taps, run] with the run filled up to whole fours; a row of a kernel is one tap where `whole_rows`.
torch::Tensor WeightTaps(const torch::Tensor& weight, bool whole_rows) {
  const std::int64_t out = weight.size(0);
  const std::int64_t kernel = weight.size(2);
  const auto taps = weight.permute({0, 2, 3, 1}).reshape({out, whole_rows ? kernel : kernel * kernel, -1});
  auto filled = torch::zeros({out, taps.size(1), RoundUp(taps.size(2), 4)}, taps.options());
  filled.slice(2, 0, taps.size(2)).copy_(taps);
  return filled;
}

/// Returns: [O], the largest sum of the positive or of the negative weights that are added up in one lane of 16 bits.
torch::Tensor LargestGroupSums(const torch::Tensor& taps) {
  constexpr std::int64_t kBlock = kQuantizedBlock * 4;
  const std::int64_t run = RoundUp(taps.size(2), kBlock);
  auto blocks = torch::zeros({taps.size(0), taps.size(1), run}, torch::kFloat64);
  blocks.slice(2, 0, taps.size(2)).copy_(taps);
  // A lane gets the first two, or the last two, of each four.
  const auto lanes = blocks.view({taps.size(0), -1, kQuantizedBlock, 2, 2}).permute({0, 1, 3, 2, 4}).flatten(3);
  const auto positive = lanes.clamp_min(0).sum(-1).flatten(1).amax(1);
  const auto negative = lanes.neg().clamp_min(0).sum(-1).flatten(1).amax(1);
  return torch::maximum(positive, negative);
}

/// Returns: [images][h + 2 p][w + 2 p][channels] with `zero` around the images.
torch::Tensor PaddedCopy(const torch::Tensor& x, std::int64_t padding, std::int32_t zero) {
  const std::int64_t h = x.size(1) + 2 * padding;
  const std::int64_t w = x.size(2) + 2 * padding;
  auto padded = NewBytes(x.size(0), h, w, x.size(3)).fill_(zero);
  padded.slice(1, padding, h - padding).slice(2, padding, w - padding).copy_(x);
  return padded;
}

const float* FloatsOf(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

}  // namespace

torch::Tensor NewBytes(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t channels) {
  const std::int64_t count = n * h * w * channels;
  return torch::empty({count + kSlack}, torch::kUInt8).slice(0, 0, count).view({n, h, w, channels});
}

torch::Tensor Quantize(const torch::Tensor& x, const Quantization& as) {
  auto bytes = NewBytes(x.size(0), x.size(1), x.size(2), x.size(3));
  QuantizeFloats(x.const_data_ptr<float>(), x.numel(), 1 / as.scale, as.zero, bytes.data_ptr<std::uint8_t>());
  return bytes;
}

bool QuantizedConvolution::SuitsThisProcessor() { return HasQuantizedTiles(QuantizedTiles::kAvx2); }

bool QuantizedConvolution::WholeRows() const { return in_ < kShortTap && shape_.kernel > 1; }

QuantizedConvolution::QuantizedConvolution(const QuantizedConvolutionSetup& setup)
    : shape_(setup.shape),
      in_(setup.weight.size(1)),
      out_(setup.weight.size(0)),
      input_zero_(setup.input.zero),
      rectify_(setup.rectify),
      to_float_(!setup.output),
      tiles_(setup.tiles) {
  torch::NoGradGuard no_grad;
  const auto real = setup.weight.to(torch::kFloat64);
  const auto largest = real.abs().flatten(1).amax(1) / 127;
  const auto fitting = LargestGroupSums(WeightTaps(real, WholeRows())) / (kLargestSum - kRounding);
  // A channel of zeros may have any scale.
  const auto scale = torch::maximum(largest, fitting).clamp_min(1e-30);
  const auto rounded = (real / scale.view({-1, 1, 1, 1})).round();
  integers_ = rounded.to(torch::kInt8);
  weight_scale_ = scale.to(torch::kFloat32);

  const auto taps = WeightTaps(integers_, WholeRows());
  auto whole = torch::zeros({RoundUp(out_, kOut), taps.size(1), taps.size(2)}, torch::kInt8);
  whole.slice(0, 0, out_).copy_(taps);
  const auto panels = whole.view({-1, kOut, taps.size(1), taps.size(2) / 4, 4}).permute({0, 2, 3, 1, 4});
  packed_ = torch::cat({panels.flatten(), torch::zeros({kWeightSlack}, torch::kInt8)});

  const double unit = setup.output ? setup.output->scale : 1;
  const auto multiplier = scale * (setup.input.scale / unit);
  auto offset = setup.bias.to(torch::kFloat64) / unit - multiplier * rounded.flatten(1).sum(1) * setup.input.zero;
  if (setup.residual) {
    residual_scale_ = static_cast<float>(setup.residual->scale / unit);
    offset = offset - double{residual_scale_} * setup.residual->zero;
  }
  if (setup.output) {
    // Bytes are cut off at zero in any case.
    rectify_ = rectify_ && setup.output->zero != 0;
    if (setup.slope.defined() || rectify_) {
      moved_by_ = static_cast<float>(setup.output->zero);
    } else {
      offset = offset + setup.output->zero;
    }
  }
  multiplier_ = WholeBlocks(multiplier);
  offset_ = WholeBlocks(offset);
  if (setup.slope.defined()) slope_ = WholeBlocks(setup.slope);
}

torch::Tensor QuantizedConvolution::Run(const torch::Tensor& x, const torch::Tensor& residual) const {
  QuantizedProblem problem{};
  problem.at = GeometryOf(x.size(0), x.size(1), x.size(2), in_, out_, shape_);
  if (WholeRows()) problem.at = problem.at.OfPaddedCopy();
  const torch::Tensor padded = WholeRows() ? PaddedCopy(x, shape_.padding, input_zero_) : x;
  problem.x = padded.const_data_ptr<std::uint8_t>();
  problem.input_zero = input_zero_;
  problem.weights = packed_.const_data_ptr<std::int8_t>();
  problem.multiplier = FloatsOf(multiplier_);
  problem.offset = FloatsOf(offset_);
  problem.slope = FloatsOf(slope_);
  problem.rectify = rectify_;
  problem.residual = residual.defined() ? residual.const_data_ptr<std::uint8_t>() : nullptr;
  problem.residual_scale = residual_scale_;
  problem.moved_by = moved_by_;
  torch::Tensor y;
  if (to_float_) {
    y = torch::empty({x.size(0), problem.at.oh, problem.at.ow, out_}, torch::kFloat32);
    problem.floats = y.data_ptr<float>();
  } else {
    y = NewBytes(x.size(0), problem.at.oh, problem.at.ow, out_);
    problem.bytes = y.data_ptr<std::uint8_t>();
  }
  ConvolveQuantized(problem, tiles_);
  return y;
}

}  // namespace ferment::nn
