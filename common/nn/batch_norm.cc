// SPDX-License-Identifier: Apache-2.0
#include "common/nn/batch_norm.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "common/nn/convolution/convolution.h"
#include "common/nn/kernels/channel_loops.h"
#include "common/nn/kernels/channel_moments.h"
#include "common/nn/kernels/channel_numbers.h"

namespace ferment::nn {
namespace {

constexpr double kMomentum = 0.1;
constexpr double kEpsilon = 1e-5;

std::vector<std::int64_t> AllButChannels(const torch::Tensor& x) {
  std::vector<std::int64_t> axes = {0};
  for (std::int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

/// Returns: what numbers of x are computed in: float32 at least.
torch::ScalarType ComputedType(const torch::Tensor& x) {
  return x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

/// Shapes a [C] tensor so that it broadcasts against x; a sum or product of both has the computed type.
torch::Tensor AsChannels(const torch::Tensor& values, const torch::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = values.size(0);
  return values.to(ComputedType(x)).view(shape);
}

void SumOverRanks(StatisticsExchange* exchange, const torch::Tensor& values) {
  TORCH_CHECK(exchange != nullptr, "batch_norm sync needs a StatisticsExchange");
  const Status status = exchange->Sum(values);
  TORCH_CHECK(status.ok(), "batch_norm sync: ", status.ToString());
}

/// Replaces a rank's own [2, C] mean and mean squared deviation of `count` rows by those of all ranks' rows, joined in
/// float64 (Chan's formula). Returns: how many rows those are.
double JoinMomentsOverRanks(torch::Tensor& moments, double count, StatisticsExchange* exchange) {
  const std::int64_t channels = moments.size(1);
  auto sums = torch::zeros({2 * channels + 1}, moments.options());
  sums.slice(0, 0, channels).copy_(moments[0] * count);
  sums.slice(0, channels, 2 * channels).copy_((moments[1] + moments[0].square()) * count);
  sums[2 * channels].fill_(count);
  SumOverRanks(exchange, sums);
  const double all = sums[2 * channels].item<double>();
  moments[0].copy_(sums.slice(0, 0, channels) / all);
  moments[1].copy_((sums.slice(0, channels, 2 * channels) / all - moments[0].square()).clamp_min(0));
  return all;
}

/// Returns: [2, C] float64, as ChannelMoments has them.
torch::Tensor OwnMoments(const torch::Tensor& x) {
  if (HasChannelLoops(x)) return ChannelMoments(x);
  const std::int64_t channels = x.size(1);
  if (x.numel() == 0) return torch::zeros({2, channels}, x.options().dtype(torch::kFloat64));
  const auto [variance, mean] =
      torch::var_mean(x.to(ComputedType(x)), AllButChannels(x), /*correction=*/c10::Scalar(0), /*keepdim=*/false);
  return torch::stack({mean, variance}).to(torch::kFloat64);
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
    const auto own_dy = dy.sum(axes, /*keepdim=*/false, ComputedType(x)).to(torch::kFloat64);
    const auto own_dy_x = (dy * normalized).sum(axes).to(torch::kFloat64);
    auto sums = torch::cat({own_dy, own_dy_x});
    SumOverRanks(exchange, sums);
    const auto mean_dy = AsChannels(sums.slice(0, 0, channels) / count, x);
    const auto mean_dy_x = AsChannels(sums.slice(0, channels, 2 * channels) / count, x);
    const auto scale = AsChannels(inverse_deviation * weight.to(torch::kFloat64), x);
    const auto dx = (dy - mean_dy - normalized * mean_dy_x) * scale;
    return {dx.to(x.scalar_type()),
            own_dy_x.to(weight.scalar_type()),
            own_dy.to(weight.scalar_type()),
            torch::Tensor(),
            torch::Tensor(),
            torch::Tensor(),
            torch::Tensor()};
  }
};

/// The same and its epilogue on the CPU, in two passes over memory each way. `count` rows have made mean and variance;
/// 0: they are constants.
struct LoopNormalize : public torch::autograd::Function<LoopNormalize> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& moments,
                               const std::optional<torch::Tensor>& given, bool rectify, double count,
                               std::int64_t exchange) {
    const torch::Tensor residual = given.value_or(torch::Tensor());
    const ForwardNumbers numbers = NumbersOf(weight, bias, moments, kEpsilon);
    torch::Tensor y = Transform(x, {numbers.scale, numbers.shift, residual, rectify});
    const bool look_at_y = rectify && residual.defined();
    context->save_for_backward(
        {x, look_at_y ? y : torch::Tensor(), numbers.scale, numbers.shift, numbers.mean, numbers.inverse_deviation});
    context->saved_data["residual"] = residual.defined();
    context->saved_data["rectify"] = rectify;
    context->saved_data["count"] = count;
    context->saved_data["exchange"] = exchange;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    const ForwardNumbers forward{saved[2], saved[3], saved[4], saved[5]};
    const double count = context->saved_data["count"].toDouble();
    ChannelGradient gradient{
        .dy = gradients[0].contiguous(x.suggest_memory_format()),
        .x = x,
        .y = saved[1],
        .mean = forward.mean,
        .transform = {forward.scale, forward.shift, saved[1], context->saved_data["rectify"].toBool()}};
    const torch::Tensor own = GradientSums(gradient);
    torch::Tensor all = own;
    const auto exchange = context->saved_data["exchange"].toInt();
    if (count > 0 && exchange != 0) {
      all = own.clone();
      SumOverRanks(reinterpret_cast<StatisticsExchange*>(exchange), all);  // NOLINT
    }
    const GradientNumbers numbers = NumbersOfGradient(forward, own, all, count);
    const InputGradient input =
        GradientOfInput(gradient, numbers.slope, numbers.offset, context->saved_data["residual"].toBool());
    return {input.dx, numbers.of_weight, numbers.of_bias, torch::Tensor(),
            input.dz, torch::Tensor(),   torch::Tensor(), torch::Tensor()};
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

torch::Tensor BatchNormImpl::Normalize(const torch::Tensor& x, const torch::Tensor& own_moments,
                                       const Epilogue& epilogue) {
  const bool own_statistics = TakesMoments();
  if (own_statistics) num_batches_tracked.add_(1);
  if (HasChannelLoops(x)) return NormalizeInLoops(x, own_moments, epilogue);
  torch::Tensor y = own_statistics && mode_ == BatchNormMode::kSync
                        ? NormalizeOverRanks(x)
                        : torch::batch_norm(x, weight, bias, running_mean, running_var, own_statistics, kMomentum,
                                            kEpsilon, /*cudnn_enabled=*/true);
  if (epilogue.residual.defined()) y.add_(epilogue.residual);
  return epilogue.rectify ? y.relu_() : y;
}

torch::Tensor BatchNormImpl::NormalizeInLoops(const torch::Tensor& x, const torch::Tensor& own_moments,
                                              const Epilogue& epilogue) {
  const bool own_statistics = TakesMoments();
  TORCH_CHECK(weight.scalar_type() == ComputedType(x), "a batch normalisation's state is ", weight.scalar_type(),
              ", and what it normalises ", x.scalar_type());
  Moments moments{{}, 0};
  StatisticsExchange* exchange = own_statistics && mode_ == BatchNormMode::kSync ? exchange_ : nullptr;
  {
    torch::NoGradGuard no_grad;
    if (own_statistics) {
      moments = MomentsOf(x, own_moments);
      MoveRunningStatistics(moments);
    } else {
      moments.both = torch::stack({running_mean, running_var}).to(torch::kFloat64);
    }
  }
  // An undefined tensor is no argument of a function with gradients, an empty optional is.
  const auto residual = epilogue.residual.defined() ? std::optional(epilogue.residual) : std::nullopt;
  return LoopNormalize::apply(x, weight, bias, moments.both, residual, epilogue.rectify, moments.count,
                              reinterpret_cast<std::int64_t>(exchange));  // NOLINT
}

BatchNormImpl::Moments BatchNormImpl::MomentsOf(const torch::Tensor& x, const torch::Tensor& known) const {
  torch::Tensor own = known.defined() ? known : OwnMoments(x);
  double count = static_cast<double>(x.numel() / x.size(1));
  if (mode_ == BatchNormMode::kSync) count = JoinMomentsOverRanks(own, count, exchange_);
  return {own, count};
}

void BatchNormImpl::MoveRunningStatistics(const Moments& moments) {
  const double unbiased = moments.count > 1 ? moments.count / (moments.count - 1) : 1.0;
  if (running_mean.is_cpu()) return MoveRunning(running_mean, running_var, moments.both, kMomentum, unbiased);
  const auto type = running_mean.scalar_type();
  running_mean.mul_(1 - kMomentum).add_(moments.both[0].to(type), kMomentum);
  running_var.mul_(1 - kMomentum).add_((moments.both[1] * unbiased).to(type), kMomentum);
}

torch::Tensor BatchNormImpl::NormalizeOverRanks(const torch::Tensor& x) {
  Moments moments;
  {
    torch::NoGradGuard no_grad;
    moments = MomentsOf(x, torch::Tensor());
    MoveRunningStatistics(moments);
  }
  return SyncNormalize::apply(x, weight, bias, moments.both[0], moments.both[1], moments.count,
                              reinterpret_cast<std::int64_t>(exchange_));  // NOLINT
}

void BatchNormImpl::FoldInto(torch::nn::Conv2dImpl& convolution, const Folding& folding) {
  torch::NoGradGuard no_grad;
  const auto scale = weight.to(torch::kFloat64) * (running_var.to(torch::kFloat64) + kEpsilon).rsqrt();
  const auto type = weight.scalar_type();
  folded_ = std::make_shared<const FoldedConvolution>(
      (convolution.weight.to(torch::kFloat64) * scale.view({-1, 1, 1, 1})).to(type),
      (bias.to(torch::kFloat64) - running_mean.to(torch::kFloat64) * scale).to(type), ShapeOf(convolution), folding);
}

torch::Tensor BatchNormImpl::ConvolveAndNormalize(torch::nn::Conv2dImpl& convolution, const torch::Tensor& x,
                                                  const Epilogue& epilogue) {
  if (folded_ != nullptr) return folded_->Run(x, epilogue);
  const ForwardPass convolved = Convolve(convolution, x, TakesMoments());
  const torch::Tensor y = Normalize(convolved.y, convolved.moments, epilogue);
  return epilogue.slope.defined() ? torch::prelu(y, epilogue.slope.to(y.scalar_type())) : y;
}

}  // namespace ferment::nn
