// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/temporal_encoder.h"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>
#include <torch/types.h>

#include <cmath>
#include <mutex>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/nn/temporal/frozen_sequence.h"
#include "common/nn/temporal/self_attention.h"

namespace ferment::nn {
namespace {

using torch::Tensor;

/// Vaswani et al. 2017, section 3.5. Returns: [T, d_model].
Tensor SinusoidalPositions(std::int64_t length, std::int64_t d_model, const torch::TensorOptions& options) {
  const Tensor position = torch::arange(length, options).unsqueeze(1);
  const Tensor even = torch::arange(0, d_model, 2, options);
  const Tensor angle = position * torch::exp(even * (-std::log(10000.0) / static_cast<double>(d_model)));
  const Tensor interleaved = torch::stack({torch::sin(angle), torch::cos(angle)}, 2).flatten(1);
  return interleaved.slice(1, 0, d_model);
}

/// What the four kinds share; `Encode` is where they differ.
class EncoderBase : public TemporalEncoder {
 public:
  explicit EncoderBase(const TemporalConfig& config)
      : input_norm_(
            register_module("input_norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.input_size})))),
        projection_(register_module("projection", torch::nn::Linear(config.input_size, config.d_model))),
        classifier_(nullptr),
        dropout_(config.dropout) {}

  Tensor Project(const Tensor& features) final { return torch::relu(projection_(input_norm_(features))); }
  Tensor Classify(const Tensor& projected, const Tensor& present, const DropoutSeed& seed) final {
    Dropout dropout(is_training() ? dropout_ : 0, seed);
    return classifier_(dropout.Apply(Encode(WithoutAbsent(projected, present), present, dropout)));
  }
  FrozenHalves Frozen(std::int64_t) override {
    eval();
    return {[this](const Tensor& features) { return Project(features); },
            [this](const Tensor& projected, const Tensor& present) { return Classify(projected, present, {}); }};
  }

 protected:
  static Tensor WithoutAbsent(const Tensor& projected, const Tensor& present) {
    return projected * present.unsqueeze(2).to(projected.dtype());
  }
  Tensor ClassesOf(const Tensor& encoded) { return classifier_(encoded); }
  /// Project, for calls of so many frames before a weight changes.
  std::function<Tensor(const Tensor&)> FrozenProject(std::int64_t frames) {
    return [this, linear = PackedLinear(projection_->weight, projection_->bias, frames)](const Tensor& features) {
      return linear(input_norm_(features)).relu_();
    };
  }
  /// After the encoder's own modules, so that parameters stand in the order of the data's way.
  void AddClassifier(const TemporalConfig& config) {
    classifier_ = register_module("classifier", torch::nn::Linear(config.d_model, config.classes));
  }
  /// [B, T, d_model] -> the same shape.
  virtual Tensor Encode(const Tensor& x, const Tensor& present, Dropout& dropout) = 0;

 private:
  torch::nn::LayerNorm input_norm_;
  torch::nn::Linear projection_;
  torch::nn::Linear classifier_;
  double dropout_;
};

class FrameByFrame final : public EncoderBase {
 public:
  explicit FrameByFrame(const TemporalConfig& config) : EncoderBase(config) { AddClassifier(config); }

 private:
  Tensor Encode(const Tensor& x, const Tensor&, Dropout&) override { return x; }
};

class SelfAttention final : public EncoderBase {
 public:
  explicit SelfAttention(const TemporalConfig& config) : EncoderBase(config) {
    const auto layer = torch::nn::TransformerEncoderLayerOptions(config.d_model, config.heads)
                           .dim_feedforward(config.feed_forward)
                           .dropout(config.dropout);
    encoder_ = register_module(
        "encoder", torch::nn::TransformerEncoder(torch::nn::TransformerEncoderOptions(layer, config.layers)));
    AddClassifier(config);
  }

  FrozenHalves Frozen(std::int64_t frames) override {
    if (!encoder_->parameters().front().is_cpu()) return EncoderBase::Frozen(frames);
    const auto frozen = std::make_shared<const FrozenSequence>(*encoder_, frames);
    const torch::NoGradGuard no_grad;
    eval();
    return {FrozenProject(frames), [this, frozen](const Tensor& projected, const Tensor& present) {
              return ClassesOf(frozen->Run(Positioned(WithoutAbsent(projected, present)), Masked(present)));
            }};
  }

 private:
  static Tensor Positioned(const Tensor& x) { return x + SinusoidalPositions(x.size(1), x.size(2), x.options()); }
  /// A window without any face would leave attention nothing to look at: NaN. It may look at everything instead.
  static Tensor Masked(const Tensor& present) {
    return torch::logical_and(present.logical_not(), present.any(1, /*keepdim=*/true));
  }
  Tensor Encode(const Tensor& x, const Tensor& present, Dropout& dropout) override {
    if (x.is_cpu()) return EncodeSequence(*encoder_, Positioned(x), Masked(present), dropout);
    return encoder_(Positioned(x).transpose(0, 1), Tensor(), Masked(present)).transpose(0, 1);
  }

  torch::nn::TransformerEncoder encoder_{nullptr};
};

class Recurrent final : public EncoderBase {
 public:
  explicit Recurrent(const TemporalConfig& config) : EncoderBase(config) {
    encoder_ = register_module("encoder", torch::nn::GRU(torch::nn::GRUOptions(config.d_model, config.d_model / 2)
                                                             .num_layers(config.layers)
                                                             .batch_first(true)
                                                             .bidirectional(true)
                                                             .dropout(config.layers > 1 ? config.dropout : 0.0)));
    AddClassifier(config);
  }

 private:
  Tensor Encode(const Tensor& x, const Tensor&, Dropout&) override { return std::get<0>(encoder_(x)); }

  torch::nn::GRU encoder_{nullptr};
};

class DilatedBlock final : public torch::nn::Module {
 public:
  DilatedBlock(std::int64_t channels, std::int64_t dilation)
      : conv1_(register_module("conv1", Convolution(channels, dilation))),
        conv2_(register_module("conv2", Convolution(channels, dilation))) {}

  /// [B, channels, T] -> the same shape; `mask` [B, 1, T] keeps absent frames at zero.
  Tensor forward(const Tensor& x, const Tensor& mask, Dropout& dropout) {
    const Tensor hidden = dropout.RectifyAndApply(conv1_(x)) * mask;
    return torch::relu(dropout.ApplyAndAdd(conv2_(hidden), x)) * mask;
  }

 private:
  static torch::nn::Conv1d Convolution(std::int64_t channels, std::int64_t dilation) {
    return torch::nn::Conv1d(torch::nn::Conv1dOptions(channels, channels, 3).dilation(dilation).padding(dilation));
  }

  torch::nn::Conv1d conv1_;
  torch::nn::Conv1d conv2_;
};

class DilatedConvolution final : public EncoderBase {
 public:
  explicit DilatedConvolution(const TemporalConfig& config) : EncoderBase(config) {
    encoder_ = register_module("encoder", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < config.layers; ++i)
      encoder_->push_back(std::make_shared<DilatedBlock>(config.d_model, std::int64_t{1} << i));
    AddClassifier(config);
  }

 private:
  Tensor Encode(const Tensor& x, const Tensor& present, Dropout& dropout) override {
    const Tensor mask = present.unsqueeze(1).to(x.dtype());
    Tensor y = x.transpose(1, 2);
    for (const auto& block : *encoder_) y = block->as<DilatedBlock>()->forward(y, mask, dropout);
    return y.transpose(1, 2);
  }

  torch::nn::ModuleList encoder_{nullptr};
};

}  // namespace

TemporalConfig MakeTemporalConfig(const RunSpec& spec, std::string encoder, std::int64_t input_size) {
  const auto& temporal = spec.temporal();
  return {.encoder = std::move(encoder),
          .input_size = input_size,
          .d_model = temporal.d_model(),
          .layers = temporal.layers(),
          .heads = temporal.heads(),
          .feed_forward = temporal.feed_forward(),
          .dropout = temporal.dropout(),
          .classes = spec.classes_size()};
}

std::shared_ptr<TemporalEncoder> MakeTemporalEncoder(const TemporalConfig& config, std::uint64_t seed,
                                                     std::uint64_t stream) {
  // LibTorch draws from one generator of the process, and ranks may be threads of one.
  static std::mutex drawing;
  const std::lock_guard lock(drawing);
  torch::manual_seed(RandomBits(seed, stream, StreamOf("temporal_encoder/" + config.encoder)) >> 1);
  if (config.encoder == "transformer") return std::make_shared<SelfAttention>(config);
  if (config.encoder == "gru") return std::make_shared<Recurrent>(config);
  if (config.encoder == "tcn") return std::make_shared<DilatedConvolution>(config);
  FERMENT_CHECK(config.encoder == "none") << "encoder=" << config.encoder;
  return std::make_shared<FrameByFrame>(config);
}

}  // namespace ferment::nn
