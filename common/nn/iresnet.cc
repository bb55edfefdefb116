// SPDX-License-Identifier: Apache-2.0
#include "common/nn/iresnet.h"

#include <torch/nn/modules/activation.h>
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
using torch::nn::PReLU;
using torch::nn::PReLUOptions;

Conv2d Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return Conv2d(Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

class UnitImpl : public torch::nn::Module {
 public:
  UnitImpl(std::int64_t in, std::int64_t out, std::int64_t stride) {
    norm1_ = register_module("bn1", BatchNorm(in));
    convolution1_ = register_module("conv1", Convolution(in, out, 3, 1));
    norm2_ = register_module("bn2", BatchNorm(out));
    prelu_ = register_module("prelu", PReLU(PReLUOptions().num_parameters(out)));
    convolution2_ = register_module("conv2", Convolution(out, out, 3, stride));
    norm3_ = register_module("bn3", BatchNorm(out));
    if (stride == 1 && in == out) return;
    shortcut_ = Convolution(in, out, 1, stride);
    shortcut_norm_ = BatchNorm(out);
    register_module("downsample", torch::nn::Sequential(shortcut_, shortcut_norm_));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor shortcut = shortcut_.is_empty() ? x : shortcut_norm_->ConvolveAndNormalize(*shortcut_, x);
    const torch::Tensor y = norm2_->ConvolveAndNormalize(*convolution1_, norm1_->forward(x), {.slope = prelu_->weight});
    return norm3_->ConvolveAndNormalize(*convolution2_, y, {.residual = shortcut});
  }

  void Fold(const Folding& folding) {
    norm2_->FoldInto(*convolution1_, folding);
    norm3_->FoldInto(*convolution2_, folding);
    if (!shortcut_.is_empty()) shortcut_norm_->FoldInto(*shortcut_, folding);
  }

 private:
  BatchNorm norm1_ = nullptr;
  Conv2d convolution1_ = nullptr;
  BatchNorm norm2_ = nullptr;
  PReLU prelu_ = nullptr;
  Conv2d convolution2_ = nullptr;
  BatchNorm norm3_ = nullptr;
  Conv2d shortcut_ = nullptr;
  BatchNorm shortcut_norm_ = nullptr;
};
TORCH_MODULE(Unit);

class IResNet final : public Backbone {
 public:
  explicit IResNet(const BackboneConfig& config) {
    static constexpr std::array kDepths = {3, 4, 14, 3};
    std::int64_t channels = config.width;
    std::int64_t side = config.image_size;
    stem_ = register_module("conv1", Convolution(3, channels, 3, 1));
    stem_norm_ = register_module("bn1", BatchNorm(channels));
    stem_prelu_ = register_module("prelu", PReLU(PReLUOptions().num_parameters(channels)));
    for (std::size_t stage = 0; stage < kDepths.size(); ++stage) {
      torch::nn::Sequential layer;
      const std::int64_t out = std::int64_t{config.width} << stage;
      for (int i = 0; i < kDepths[stage]; ++i) {
        units_.emplace_back(channels, out, i == 0 ? 2 : 1);
        layer->push_back(units_.back());
        channels = out;
      }
      side = (side + 1) / 2;
      register_module("layer" + std::to_string(stage + 1), layer);
    }
    last_norm_ = register_module("bn2", BatchNorm(channels));
    embedding_ = register_module("fc", torch::nn::Linear(channels * side * side, channels));
    embedding_norm_ = register_module("features", BatchNorm(channels));
    classifier_ = register_module("classifier", torch::nn::Linear(channels, config.classes));
  }

  void Initialize(WeightInit init) {
    for (auto& parameter : parameters()) {
      if (parameter.dim() == 4) init.Normal(parameter, 0.1);
    }
    init.Linear(*embedding_);
    init.Linear(*classifier_);
  }

  torch::Tensor Features(const torch::Tensor& images) override {
    auto x = images.contiguous(torch::MemoryFormat::ChannelsLast);
    x = stem_norm_->ConvolveAndNormalize(*stem_, x, {.slope = stem_prelu_->weight});
    for (auto& unit : units_) x = unit->forward(x);
    // The embedding reads channel by channel, so the memory order must be the one its weights were trained with.
    x = last_norm_->forward(x).to(embedding_->weight.scalar_type());
    x = x.contiguous(torch::MemoryFormat::Contiguous).flatten(1);
    return embedding_norm_->forward(embedding_->forward(x));
  }

  torch::Tensor Classify(const torch::Tensor& features) override { return classifier_->forward(features); }
  std::int64_t feature_size() const override { return classifier_->options.in_features(); }

  void FoldBatchNorm(const Folding& folding) override {
    stem_norm_->FoldInto(*stem_, folding);
    for (auto& unit : units_) unit->Fold(folding);
  }

 private:
  Conv2d stem_ = nullptr;
  BatchNorm stem_norm_ = nullptr;
  PReLU stem_prelu_ = nullptr;
  std::vector<Unit> units_;
  BatchNorm last_norm_ = nullptr;
  torch::nn::Linear embedding_ = nullptr;
  BatchNorm embedding_norm_ = nullptr;
  torch::nn::Linear classifier_ = nullptr;
};

}  // namespace

std::shared_ptr<Backbone> MakeIResNet50(const BackboneConfig& config, std::uint64_t seed, std::uint64_t stream) {
  auto network = std::make_shared<IResNet>(config);
  network->Initialize(WeightInit(seed, stream));
  return network;
}

}  // namespace ferment::nn
