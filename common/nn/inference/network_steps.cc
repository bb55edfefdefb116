// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/network_steps.h"

#include <array>
#include <map>
#include <string>
#include <utility>

#include "common/base/check.h"

namespace ferment::nn {
namespace {

constexpr double kEpsilon = 1e-5;  // of BatchNorm

/// What a BatchNorm computes in evaluation mode: scale * x + shift, [C] float64.
struct Affine {
  torch::Tensor scale;
  torch::Tensor shift;
};

class StepWriter {
 public:
  explicit StepWriter(const NamedTensors& state) : state_(state.begin(), state.end()) {}

  NetworkSteps Finish() {
    steps_.classifier = Of("classifier.weight", "fc.weight");
    steps_.classifier_bias = Of("classifier.bias", "fc.bias");
    return std::move(steps_);
  }

  void WriteResNet(bool bottleneck) {
    const std::array<int, 4> depths = bottleneck ? std::array{3, 4, 6, 3} : std::array{2, 2, 2, 2};
    Convolve("conv1", "bn1", {7, 2, 3}, 0, {}).rectify = true;
    Add({.kind = NetworkStep::Kind::kMaxPool, .input = Last()});
    for (int stage = 0; stage < 4; ++stage) {
      for (int i = 0; i < depths[static_cast<std::size_t>(stage)]; ++i) {
        WriteBlock("layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".", stage > 0 && i == 0 ? 2 : 1,
                   bottleneck);
      }
    }
  }

  void WriteIResNet() {
    constexpr std::array kDepths = {3, 4, 14, 3};
    Convolve("conv1", "bn1", {3, 1, 1}, 0, {}).slope = Of("prelu.weight");
    for (std::size_t stage = 0; stage < kDepths.size(); ++stage) {
      for (int i = 0; i < kDepths[stage]; ++i) {
        WriteUnit("layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".", i == 0 ? 2 : 1);
      }
    }
    WriteEmbedding();
  }

 private:
  torch::Tensor Of(const std::string& name) const {
    FERMENT_CHECK(state_.contains(name)) << "name=" << name;
    return state_.at(name).to(torch::kFloat32);
  }
  torch::Tensor Of(const std::string& name, const std::string& otherwise) const {
    return Of(state_.contains(name) ? name : otherwise);
  }

  Affine NormOf(const std::string& name) const {
    const auto scale =
        Of(name + ".weight").to(torch::kFloat64) * (Of(name + ".running_var").to(torch::kFloat64) + kEpsilon).rsqrt();
    return {scale, Of(name + ".bias").to(torch::kFloat64) - Of(name + ".running_mean").to(torch::kFloat64) * scale};
  }

  std::size_t Last() const { return steps_.steps.size(); }
  NetworkStep& Add(NetworkStep step) { return steps_.steps.emplace_back(std::move(step)); }

  NetworkStep& Convolve(const std::string& convolution, const std::string& norm, const ConvolutionShape& shape,
                        std::size_t input, std::optional<std::size_t> residual) {
    const Affine affine = NormOf(norm);
    const auto weight = Of(convolution + ".weight").to(torch::kFloat64) * affine.scale.view({-1, 1, 1, 1});
    return Add({.input = input,
                .residual = residual,
                .weight = weight.to(torch::kFloat32),
                .bias = affine.shift.to(torch::kFloat32),
                .shape = shape});
  }

  /// Returns: the activation that the block's result is added to.
  std::size_t Shortcut(const std::string& block, std::int64_t stride, std::size_t input) {
    if (!state_.contains(block + "downsample.0.weight")) return input;
    Convolve(block + "downsample.0", block + "downsample.1", {1, stride, 0}, input, {});
    return Last();
  }

  void WriteBlock(const std::string& block, std::int64_t stride, bool bottleneck) {
    const std::size_t input = Last();
    const std::size_t shortcut = Shortcut(block, stride, input);
    if (bottleneck) {
      Convolve(block + "conv1", block + "bn1", {1, 1, 0}, input, {}).rectify = true;
      Convolve(block + "conv2", block + "bn2", {3, stride, 1}, Last(), {}).rectify = true;
      Convolve(block + "conv3", block + "bn3", {1, 1, 0}, Last(), shortcut).rectify = true;
    } else {
      Convolve(block + "conv1", block + "bn1", {3, stride, 1}, input, {}).rectify = true;
      Convolve(block + "conv2", block + "bn2", {3, 1, 1}, Last(), shortcut).rectify = true;
    }
  }

  void WriteUnit(const std::string& unit, std::int64_t stride) {
    const std::size_t input = Last();
    const std::size_t shortcut = Shortcut(unit, stride, input);
    const Affine norm = NormOf(unit + "bn1");
    Add({.kind = NetworkStep::Kind::kScale,
         .input = input,
         .weight = norm.scale.to(torch::kFloat32),
         .bias = norm.shift.to(torch::kFloat32)});
    Convolve(unit + "conv1", unit + "bn2", {3, 1, 1}, Last(), {}).slope = Of(unit + "prelu.weight");
    Convolve(unit + "conv2", unit + "bn3", {3, stride, 1}, Last(), shortcut);
  }

  /// The last norm, the embedding and its norm are one linear function, read channels-last.
  void WriteEmbedding() {
    const Affine before = NormOf("bn2"), after = NormOf("features");
    const std::int64_t channels = before.scale.size(0);
    const auto weight = Of("fc.weight").to(torch::kFloat64).view({after.scale.size(0), channels, -1});
    const auto bias = Of("fc.bias").to(torch::kFloat64) + weight.sum(2).matmul(before.shift);
    const auto scaled = weight * before.scale.view({1, -1, 1}) * after.scale.view({-1, 1, 1});
    steps_.embedding = scaled.transpose(1, 2).flatten(1).to(torch::kFloat32).contiguous();
    steps_.embedding_bias = (bias * after.scale + after.shift).to(torch::kFloat32);
  }

  const std::map<std::string, torch::Tensor> state_;
  NetworkSteps steps_;
};

}  // namespace

NetworkSteps StepsOf(const BackboneConfig& config, const NamedTensors& state) {
  torch::NoGradGuard no_grad;
  StepWriter writer(state);
  if (config.name == "iresnet50") {
    writer.WriteIResNet();
  } else {
    writer.WriteResNet(config.name == "resnet50");
  }
  return writer.Finish();
}

}  // namespace ferment::nn
