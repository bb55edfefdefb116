// SPDX-License-Identifier: Apache-2.0
#include "common/nn/resnet.h"

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <array>
#include <vector>

#include "common/nn/weight_init.h"

namespace ferment::nn {
namespace {

using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

Conv2d Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return Conv2d(Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

/// The basic block (two 3x3) or the bottleneck (1x1, 3x3, 1x1), with the stride on its 3x3 as torchvision has it.
class BlockImpl : public torch::nn::Module {
 public:
  struct Shape {
    std::int64_t in;
    std::int64_t planes;
    std::int64_t stride;
    bool bottleneck;
    std::int64_t out() const { return bottleneck ? 4 * planes : planes; }
  };

  explicit BlockImpl(const Shape& shape) {
    if (shape.bottleneck) {
      AddLayer(Convolution(shape.in, shape.planes, 1, 1), shape.planes);
      AddLayer(Convolution(shape.planes, shape.planes, 3, shape.stride), shape.planes);
      AddLayer(Convolution(shape.planes, shape.out(), 1, 1), shape.out());
    } else {
      AddLayer(Convolution(shape.in, shape.planes, 3, shape.stride), shape.planes);
      AddLayer(Convolution(shape.planes, shape.planes, 3, 1), shape.planes);
    }
    if (shape.stride != 1 || shape.in != shape.out()) {
      shortcut_ = Convolution(shape.in, shape.out(), 1, shape.stride);
      shortcut_norm_ = BatchNorm(shape.out());
      register_module("downsample", torch::nn::Sequential(shortcut_, shortcut_norm_));
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor shortcut = shortcut_.is_empty() ? x : shortcut_norm_->ConvolveAndNormalize(*shortcut_, x);
    torch::Tensor y = x;
    for (std::size_t i = 0; i < convolutions_.size(); ++i) {
      const bool last = i + 1 == convolutions_.size();
      y = norms_[i]->ConvolveAndNormalize(*convolutions_[i], y,
                                          {.residual = last ? shortcut : torch::Tensor(), .rectify = true});
    }
    return y;
  }

  void Fold(const Folding& folding) {
    for (std::size_t i = 0; i < convolutions_.size(); ++i) norms_[i]->FoldInto(*convolutions_[i], folding);
    if (!shortcut_.is_empty()) shortcut_norm_->FoldInto(*shortcut_, folding);
  }

 private:
  void AddLayer(const Conv2d& convolution, std::int64_t channels) {
    const std::string number = std::to_string(convolutions_.size() + 1);
    convolutions_.push_back(register_module("conv" + number, convolution));
    norms_.push_back(register_module("bn" + number, BatchNorm(channels)));
  }

  std::vector<Conv2d> convolutions_;
  std::vector<BatchNorm> norms_;
  Conv2d shortcut_ = nullptr;
  BatchNorm shortcut_norm_ = nullptr;
};
TORCH_MODULE(Block);

class ResNet final : public Backbone {
 public:
  explicit ResNet(const BackboneConfig& config) {
    const bool bottleneck = config.name == "resnet50";
    const std::array<int, 4> depths = bottleneck ? std::array{3, 4, 6, 3} : std::array{2, 2, 2, 2};
    std::int64_t channels = config.width;
    stem_ = register_module("conv1", Conv2d(Conv2dOptions(3, channels, 7).stride(2).padding(3).bias(false)));
    stem_norm_ = register_module("bn1", BatchNorm(channels));
    for (std::size_t stage = 0; stage < depths.size(); ++stage) {
      torch::nn::Sequential layer;
      for (int i = 0; i < depths[stage]; ++i) {
        const BlockImpl::Shape shape = {.in = channels,
                                        .planes = std::int64_t{config.width} << stage,
                                        .stride = stage > 0 && i == 0 ? 2 : 1,
                                        .bottleneck = bottleneck};
        blocks_.emplace_back(shape);
        layer->push_back(blocks_.back());
        channels = shape.out();
      }
      register_module("layer" + std::to_string(stage + 1), layer);
    }
    classifier_ = register_module("fc", torch::nn::Linear(channels, config.classes));
  }

  void Initialize(WeightInit init) {
    for (auto& parameter : parameters()) {
      if (parameter.dim() == 4) init.KaimingFanOut(parameter);
    }
    init.Linear(*classifier_);
  }

  torch::Tensor Features(const torch::Tensor& images) override {
    auto x = images.contiguous(torch::MemoryFormat::ChannelsLast);
    x = stem_norm_->ConvolveAndNormalize(*stem_, x, {.residual = {}, .rectify = true});
    x = torch::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
    for (auto& block : blocks_) x = block->forward(x);
    return x.mean({2, 3}, /*keepdim=*/false, classifier_->weight.scalar_type());
  }

  torch::Tensor Classify(const torch::Tensor& features) override { return classifier_->forward(features); }
  std::int64_t feature_size() const override { return classifier_->options.in_features(); }

  void FoldBatchNorm(const Folding& folding) override {
    stem_norm_->FoldInto(*stem_, folding);
    for (auto& block : blocks_) block->Fold(folding);
  }

 private:
  Conv2d stem_ = nullptr;
  BatchNorm stem_norm_ = nullptr;
  std::vector<Block> blocks_;
  torch::nn::Linear classifier_ = nullptr;
};

}  // namespace

std::shared_ptr<Backbone> MakeResNet(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream) {
  auto network = std::make_shared<ResNet>(config);
  network->Initialize(WeightInit(seed, stream));
  return network;
}

}  // namespace ferment::nn
