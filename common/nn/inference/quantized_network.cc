// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/quantized_network.h"

#include <algorithm>
#include <utility>

#include "common/nn/inference/activation_ranges.h"
#include "common/nn/kernels/quantized_tiles.h"

namespace ferment::nn {
namespace {

using Kind = NetworkStep::Kind;

/// The steps in float32, with all activations kept.
class FloatNetwork {
 public:
  FloatNetwork(const NetworkSteps& network, ConvolutionEngine engine) : steps_(network.steps) {
    for (const NetworkStep& step : steps_) {
      convolutions_.push_back(step.kind != Kind::kConvolution ? nullptr
                                                              : std::make_unique<const FoldedConvolution>(
                                                                    step.weight, step.bias, step.shape, engine));
    }
  }

  std::vector<torch::Tensor> Run(const torch::Tensor& images) const {
    std::vector<torch::Tensor> activations = {images.contiguous(torch::MemoryFormat::ChannelsLast)};
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const NetworkStep& step = steps_[i];
      const torch::Tensor& x = activations[step.input];
      if (step.kind == Kind::kMaxPool) {
        activations.push_back(torch::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1));
      } else if (step.kind == Kind::kScale) {
        activations.push_back(x * step.weight.view({1, -1, 1, 1}) + step.bias.view({1, -1, 1, 1}));
      } else {
        const auto residual = step.residual ? activations[*step.residual] : torch::Tensor();
        activations.push_back(convolutions_[i]->Run(x, {residual, step.rectify, step.slope}));
      }
    }
    return activations;
  }

 private:
  const std::vector<NetworkStep>& steps_;
  std::vector<std::unique_ptr<const FoldedConvolution>> convolutions_;
};

Status Stopped() { return CancelledError("asked to stop while a network was made int8"); }

Result<std::vector<Quantization>> RangesOf(const NetworkSteps& steps, const torch::Tensor& faces,
                                           ConvolutionEngine engine, const std::stop_token& stop) {
  const FloatNetwork network(steps, engine);
  std::vector<ActivationRange> ranges(steps.steps.size() + 1);
  const auto look = [&](auto&& at) -> Status {
    for (std::int64_t face = 0; face < faces.size(0); ++face) {
      if (stop.stop_requested()) return Stopped();
      const auto activations = network.Run(faces.slice(0, face, face + 1));
      for (std::size_t i = 0; i < ranges.size(); ++i) at(ranges[i], activations[i]);
    }
    return {};
  };
  FERMENT_RETURN_IF_ERROR(look([](ActivationRange& range, const torch::Tensor& values) { range.LookForEnds(values); }));
  FERMENT_RETURN_IF_ERROR(look([](ActivationRange& range, const torch::Tensor& values) { range.Count(values); }));
  std::vector<Quantization> best;
  for (const ActivationRange& range : ranges) best.push_back(range.Best());
  // The largest of several bytes is the byte of the largest: pooling keeps their meaning.
  for (std::size_t i = 0; i < steps.steps.size(); ++i) {
    if (steps.steps[i].kind == Kind::kMaxPool) best[i + 1] = best[steps.steps[i].input];
  }
  return best;
}

}  // namespace

QuantizedNetwork::QuantizedNetwork(const NetworkSteps& steps)
    : last_use_(steps.steps.size() + 1, 0),
      embedding_(steps.embedding),
      embedding_bias_(steps.embedding_bias),
      classifier_(steps.classifier),
      classifier_bias_(steps.classifier_bias) {}

Result<QuantizedNetwork> QuantizedNetwork::Make(const NetworkSteps& steps, const torch::Tensor& faces,
                                                ConvolutionEngine engine, const std::stop_token& stop) {
  FERMENT_ASSIGN_OR_RETURN(const std::vector<Quantization> bytes, RangesOf(steps, faces, engine, stop));
  QuantizedNetwork network(steps);
  network.images_ = bytes[0];
  for (std::size_t i = 0; i < steps.steps.size(); ++i) {
    if (stop.stop_requested()) return Fail(Stopped());
    const NetworkStep& step = steps.steps[i];
    const Quantization input = bytes[step.input], output = bytes[i + 1];
    Step made{step.kind, step.input, step.residual, nullptr, {}, {}};
    network.last_use_[step.input] = i;
    if (step.residual) network.last_use_[*step.residual] = i;
    if (step.kind == Kind::kConvolution) {
      const bool last = i + 1 == steps.steps.size();
      made.convolution = std::make_shared<const QuantizedConvolution>(
          QuantizedConvolutionSetup{.weight = step.weight,
                                    .bias = step.bias,
                                    .shape = step.shape,
                                    .input = input,
                                    .residual = step.residual ? std::optional(bytes[*step.residual]) : std::nullopt,
                                    .rectify = step.rectify,
                                    .slope = step.slope,
                                    .output = last ? std::nullopt : std::optional(output)});
    } else if (step.kind == Kind::kScale) {
      made.factor = step.weight * (input.scale / output.scale);
      made.offset = step.bias / output.scale + output.zero - made.factor * input.zero;
    }
    network.steps_.push_back(std::move(made));
  }
  return network;
}

torch::Tensor QuantizedNetwork::RunStep(const Step& step, const std::vector<torch::Tensor>& activations) const {
  const torch::Tensor& x = activations[step.input];
  if (step.kind == Kind::kConvolution) {
    return step.convolution->Run(x, step.residual ? activations[*step.residual] : torch::Tensor());
  }
  const std::int64_t n = x.size(0), h = x.size(1), w = x.size(2), channels = x.size(3);
  if (step.kind == Kind::kMaxPool) {
    auto y = NewBytes(n, (h - 1) / 2 + 1, (w - 1) / 2 + 1, channels);
    MaxPoolBytes(x.const_data_ptr<std::uint8_t>(), n, h, w, channels, y.data_ptr<std::uint8_t>());
    return y;
  }
  auto y = NewBytes(n, h, w, channels);
  ScaleBytes(x.const_data_ptr<std::uint8_t>(), n * h * w, channels, step.factor.const_data_ptr<float>(),
             step.offset.const_data_ptr<float>(), y.data_ptr<std::uint8_t>());
  return y;
}

Prediction QuantizedNetwork::Run(const torch::Tensor& images) const {
  std::vector<torch::Tensor> activations = {Quantize(images.permute({0, 2, 3, 1}).contiguous(), images_)};
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    activations.push_back(RunStep(steps_[i], activations));
    for (std::size_t before = 0; before <= i; ++before) {
      if (last_use_[before] == i) activations[before].reset();
    }
  }
  const torch::Tensor& last = activations.back();  // [N, H, W, C] float32
  const auto features =
      embedding_.defined() ? torch::addmm(embedding_bias_, last.flatten(1), embedding_.t()) : last.mean({1, 2});
  return {features, torch::addmm(classifier_bias_, features, classifier_.t())};
}

}  // namespace ferment::nn
