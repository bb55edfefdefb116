// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/channel_numbers.h"

#include <cmath>
#include <cstdint>

namespace ferment::nn {
namespace {

template <typename Of>
void ByWeights(const torch::Tensor& tensor, const Of& of) {
  tensor.scalar_type() == torch::kFloat64 ? of(double()) : of(float());
}

}  // namespace

ForwardNumbers NumbersOf(const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& moments,
                         double epsilon) {
  const std::int64_t channels = weight.size(0);
  ForwardNumbers numbers;
  const auto rows = torch::empty({3, channels}, weight.options());
  numbers.inverse_deviation = torch::empty({channels}, torch::kFloat64);
  ByWeights(weight, [&](auto type) {
    using T = decltype(type);
    const T* w = weight.const_data_ptr<T>();
    const T* b = bias.const_data_ptr<T>();
    const double* mean = moments.const_data_ptr<double>();
    double* inverse = numbers.inverse_deviation.data_ptr<double>();
    T* made = rows.data_ptr<T>();
    for (std::int64_t c = 0; c < channels; ++c) {
      inverse[c] = 1 / std::sqrt(mean[channels + c] + epsilon);
      const double scale = static_cast<double>(w[c]) * inverse[c];
      made[c] = static_cast<T>(scale);
      made[channels + c] = static_cast<T>(static_cast<double>(b[c]) - mean[c] * scale);
      made[2 * channels + c] = static_cast<T>(mean[c]);
    }
  });
  numbers.scale = rows[0];
  numbers.shift = rows[1];
  numbers.mean = rows[2];
  return numbers;
}

GradientNumbers NumbersOfGradient(const ForwardNumbers& forward, const torch::Tensor& own, const torch::Tensor& all,
                                  double count) {
  const std::int64_t channels = forward.scale.size(0);
  const auto rows = torch::empty({4, channels}, forward.scale.options());
  ByWeights(forward.scale, [&](auto type) {
    using T = decltype(type);
    const T* scale = forward.scale.const_data_ptr<T>();
    const double* inverse = forward.inverse_deviation.const_data_ptr<double>();
    const double* mine = own.const_data_ptr<double>();
    const double* sums = all.const_data_ptr<double>();
    T* made = rows.data_ptr<T>();
    for (std::int64_t c = 0; c < channels; ++c) {
      const double share = count > 0 ? static_cast<double>(scale[c]) / -count : 0;
      made[c] = static_cast<T>(share * sums[channels + c] * (inverse[c] * inverse[c]));
      made[channels + c] = static_cast<T>(share * sums[c]);
      made[2 * channels + c] = static_cast<T>(mine[channels + c] * inverse[c]);
      made[3 * channels + c] = static_cast<T>(mine[c]);
    }
  });
  return {rows[0], rows[1], rows[2], rows[3]};
}

void MoveRunning(torch::Tensor& mean, torch::Tensor& variance, const torch::Tensor& moments, double momentum,
                 double unbiased) {
  ByWeights(mean, [&](auto type) {
    using T = decltype(type);
    const std::int64_t channels = mean.size(0);
    const double* of_batch = moments.const_data_ptr<double>();
    const auto keep = static_cast<T>(1 - momentum), take = static_cast<T>(momentum);
    const auto move = [&](T* running, const double* batch, double by) {
      for (std::int64_t c = 0; c < channels; ++c) {
        running[c] = running[c] * keep + static_cast<T>(batch[c] * by) * take;
      }
    };
    move(mean.data_ptr<T>(), of_batch, 1);
    move(variance.data_ptr<T>(), of_batch + channels, unbiased);
  });
  // So that a backward pass which saved what they were says that they have changed.
  mean.unsafeGetTensorImpl()->bump_version();
  variance.unsafeGetTensorImpl()->bump_version();
}

}  // namespace ferment::nn
