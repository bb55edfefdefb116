// SPDX-License-Identifier: Apache-2.0
#include "common/nn/batch_norm.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <vector>

namespace ferment::nn {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;

std::vector<std::int64_t> AllButChannels(const torch::Tensor& x) {
  std::vector<std::int64_t> axes = {0};
  for (std::int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

/// Shapes a [C] tensor so that it broadcasts against x.
torch::Tensor AsChannels(const torch::Tensor& values, const torch::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = values.size(0);
  return values.to(x.scalar_type()).view(shape);
}

void SumOverRanks(StatisticsExchange* exchange, const torch::Tensor& values) {
  TORCH_CHECK(exchange != nullptr, "batch_norm sync needs a StatisticsExchange");
  const Status status = exchange->Sum(values);
  TORCH_CHECK(status.ok(), "batch_norm sync: ", status.ToString());
}

struct Moments {
  torch::Tensor mean;      // [C] float64
  torch::Tensor variance;  // [C] float64, biased
  double count;
};

/// Each rank's own mean and squared deviations are exact in x's type; joined in float64 (Chan's formula).
Moments MomentsOverRanks(const torch::Tensor& x, StatisticsExchange* exchange) {
  const std::int64_t channels = x.size(1);
  const double own_count = static_cast<double>(x.numel() / channels);
  auto sums = torch::zeros({2 * channels + 1}, x.options().dtype(torch::kFloat64));
  if (own_count > 0) {
    const auto [variance, mean] =
        torch::var_mean(x, AllButChannels(x), /*correction=*/c10::Scalar(0), /*keepdim=*/false);
    const auto wide_mean = mean.to(torch::kFloat64);
    sums.slice(0, 0, channels).copy_(wide_mean * own_count);
    sums.slice(0, channels, 2 * channels).copy_((variance.to(torch::kFloat64) + wide_mean.square()) * own_count);
    sums[2 * channels].fill_(own_count);
  }
  SumOverRanks(exchange, sums);
  const double count = sums[2 * channels].item<double>();
  const auto mean = sums.slice(0, 0, channels) / count;
  const auto variance = (sums.slice(0, channels, 2 * channels) / count - mean.square()).clamp_min(0);
  return {mean, variance, count};
}

/// y = (x - mean) / sqrt(variance + eps) * weight + bias with the moments of all ranks; the gradient knows that each of
/// them depends on every rank's x. Gradients of weight and bias are this rank's share.
struct SyncNormalize : public torch::autograd::Function<SyncNormalize> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mean,
                               const torch::Tensor& variance, double count, std::int64_t exchange) {
    context->save_for_backward({x, weight, mean, variance});
    context->saved_data["count"] = count;
    context->saved_data["exchange"] = exchange;
    return torch::batch_norm(x, weight, bias, mean.to(weight.scalar_type()), variance.to(weight.scalar_type()),
                             /*training=*/false, kMomentum, kEpsilon, /*cudnn_enabled=*/false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto& weight = saved[1];
    const auto& dy = gradients[0];
    const double count = context->saved_data["count"].toDouble();
    auto* exchange = reinterpret_cast<StatisticsExchange*>(context->saved_data["exchange"].toInt());  // NOLINT
    const std::int64_t channels = x.size(1);
    const auto axes = AllButChannels(x);

    const auto inverse_deviation = (saved[3] + kEpsilon).rsqrt();
    const auto normalized = (x - AsChannels(saved[2], x)) * AsChannels(inverse_deviation, x);
    const auto own_dy = dy.sum(axes).to(torch::kFloat64);
    const auto own_dy_x = (dy * normalized).sum(axes).to(torch::kFloat64);
    auto sums = torch::cat({own_dy, own_dy_x});
    SumOverRanks(exchange, sums);
    const auto mean_dy = AsChannels(sums.slice(0, 0, channels) / count, x);
    const auto mean_dy_x = AsChannels(sums.slice(0, channels, 2 * channels) / count, x);
    const auto scale = AsChannels(inverse_deviation * weight.to(torch::kFloat64), x);
    const auto dx = (dy - mean_dy - normalized * mean_dy_x) * scale;
    return {dx,
            own_dy_x.to(weight.scalar_type()),
            own_dy.to(weight.scalar_type()),
            torch::Tensor(),
            torch::Tensor(),
            torch::Tensor(),
            torch::Tensor()};
  }
};

}  // namespace

BatchNormImpl::BatchNormImpl(std::int64_t channels)
    : weight(register_parameter("weight", torch::ones(channels))),
      bias(register_parameter("bias", torch::zeros(channels))),
      running_mean(register_buffer("running_mean", torch::zeros(channels))),
      running_var(register_buffer("running_var", torch::ones(channels))),
      num_batches_tracked(register_buffer("num_batches_tracked", torch::zeros({}, torch::kInt64))) {}

void BatchNormImpl::SetMode(BatchNormMode mode, StatisticsExchange* exchange) {
  mode_ = mode;
  exchange_ = exchange;
}

torch::Tensor BatchNormImpl::forward(const torch::Tensor& x) {
  const bool own_statistics = is_training() && mode_ != BatchNormMode::kFrozen;
  if (own_statistics) num_batches_tracked.add_(1);
  if (own_statistics && mode_ == BatchNormMode::kSync) return NormalizeOverRanks(x);
  return torch::batch_norm(x, weight, bias, running_mean, running_var, own_statistics, kMomentum, kEpsilon,
                           /*cudnn_enabled=*/true);
}

torch::Tensor BatchNormImpl::NormalizeOverRanks(const torch::Tensor& x) {
  Moments moments;
  {
    torch::NoGradGuard no_grad;
    moments = MomentsOverRanks(x, exchange_);
    const double unbiased = moments.count > 1 ? moments.count / (moments.count - 1) : 1.0;
    const auto type = running_mean.scalar_type();
    running_mean.mul_(1 - kMomentum).add_(moments.mean.to(type), kMomentum);
    running_var.mul_(1 - kMomentum).add_((moments.variance * unbiased).to(type), kMomentum);
  }
  return SyncNormalize::apply(x, weight, bias, moments.mean, moments.variance, moments.count,
                              reinterpret_cast<std::int64_t>(exchange_));  // NOLINT
}

void BatchNormImpl::FoldInto(torch::nn::Conv2dImpl& convolution) {
  torch::NoGradGuard no_grad;
  const auto scale = weight.to(torch::kFloat64) * (running_var.to(torch::kFloat64) + kEpsilon).rsqrt();
  const auto type = weight.scalar_type();
  convolution.weight.copy_((convolution.weight.to(torch::kFloat64) * scale.view({-1, 1, 1, 1})).to(type));
  folded_bias_ = (bias.to(torch::kFloat64) - running_mean.to(torch::kFloat64) * scale).to(type);
}

torch::Tensor BatchNormImpl::ConvolveAndNormalize(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x) {
  if (!folded_bias_.defined()) return forward(convolution.forward(x));
  const auto& options = convolution.options;
  const auto& padding = std::get<torch::ExpandingArray<2>>(options.padding());
  return torch::conv2d(x, convolution.weight, folded_bias_, options.stride(), padding, options.dilation(),
                       options.groups());
}

}  // namespace ferment::nn
