// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/dropout.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/nn/kernels/parallel_parts.h"
#include "common/nn/kernels/philox.h"

namespace ferment::nn {
namespace {

/// Elements whose words are made at a time: they stay in the first-level cache.
constexpr std::int64_t kBlock = 32 * kPhiloxGroup;
/// A word's bits that are looked at: so many that processors without unsigned comparisons of vectors need none.
constexpr int kBits = 24;

/// What is done to every element: x, rectified first where that is asked for, dropped or scaled, + residual.
struct Loop {
  const float* x;
  const float* residual;  // or null
  float* y;
  bool rectify;
  std::uint64_t key;
  std::int64_t first;      // place of x[0] in the batch of all ranks
  std::int32_t threshold;  // words below it drop
  float scale;

  /// The elements [begin, end) of x.
  void Run(std::int64_t begin, std::int64_t end) const {
    std::uint32_t words[kBlock];
    while (begin < end) {
      const std::int64_t place = first + begin;
      const std::int64_t skipped = place % kPhiloxGroup;
      const std::int64_t count = std::min(kBlock - skipped, end - begin);
      FillWithPhilox(key, static_cast<std::uint64_t>(place / kPhiloxGroup), words);
      Apply(words + skipped, begin, count);
      begin += count;
    }
  }

 private:
  void Apply(const std::uint32_t* words, std::int64_t begin, std::int64_t count) const {
    const float* from = x + begin;
    const float* add = residual == nullptr ? nullptr : residual + begin;
    float* to = y + begin;
    // Copies, which a store of a float cannot change.
    const auto factor = [least = threshold, kept = scale](std::uint32_t word) {
      return static_cast<std::int32_t>(word >> (32 - kBits)) < least ? 0.0F : kept;
    };
    if (rectify) {
      // So that a NaN stays one.
      for (std::int64_t i = 0; i < count; ++i) to[i] = (from[i] < 0 ? 0.0F : from[i]) * factor(words[i]);
    } else if (add != nullptr) {
      for (std::int64_t i = 0; i < count; ++i) to[i] = add[i] + from[i] * factor(words[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] = from[i] * factor(words[i]);
    }
  }
};

/// One call's masks.
struct Masks {
  double rate;
  std::uint64_t key;
  std::int64_t first_row;

  torch::Tensor Run(const torch::Tensor& x, const torch::Tensor& residual, bool rectify) const {
    const torch::Tensor dense = x.contiguous();
    const torch::Tensor added = residual.defined() ? residual.contiguous() : residual;
    torch::Tensor y = torch::empty_like(dense);
    const std::int64_t row = dense.numel() / std::max<std::int64_t>(dense.size(0), 1);
    const Loop loop{.x = dense.const_data_ptr<float>(),
                    .residual = added.defined() ? added.const_data_ptr<float>() : nullptr,
                    .y = y.data_ptr<float>(),
                    .rectify = rectify,
                    .key = key,
                    .first = first_row * row,
                    .threshold = static_cast<std::int32_t>(std::lround(rate * (1 << kBits))),
                    .scale = static_cast<float>(1 / (1 - rate))};
    const std::int64_t blocks = (dense.numel() + kBlock - 1) / kBlock;
    ForEachPart(blocks, [&](std::int64_t first, std::int64_t last) {
      loop.Run(first * kBlock, std::min(last * kBlock, dense.numel()));
    });
    return y;
  }
};

struct MaskedFunction : public torch::autograd::Function<MaskedFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const std::optional<torch::Tensor>& residual, double rate, std::int64_t key,
                               std::int64_t first_row, bool rectify) {
    const torch::Tensor y =
        Masks{rate, static_cast<std::uint64_t>(key), first_row}.Run(x, residual.value_or(torch::Tensor()), rectify);
    // A rectified element that was dropped and one that was negative let the same through: nothing.
    if (rectify) context->save_for_backward({y});
    context->saved_data["rate"] = rate;
    context->saved_data["key"] = key;
    context->saved_data["first_row"] = first_row;
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::Tensor& dy = gradients[0];
    const double rate = context->saved_data["rate"].toDouble();
    const auto saved = context->get_saved_variables();
    torch::Tensor dx;
    if (!saved.empty()) {
      dx = torch::threshold_backward(dy, saved[0], 0).mul_(1 / (1 - rate));
    } else {
      const Masks masks{rate, static_cast<std::uint64_t>(context->saved_data["key"].toInt()),
                        context->saved_data["first_row"].toInt()};
      dx = masks.Run(dy, torch::Tensor(), /*rectify=*/false);
    }
    const bool added = context->saved_data["residual"].toBool();
    return {dx, added ? dy : torch::Tensor(), torch::Tensor(), torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

bool Dropout::MakesMasksFor(const torch::Tensor& x) const {
  return rate_ > 0 && x.is_cpu() && x.scalar_type() == torch::kFloat32;
}

torch::Tensor Dropout::Call(const torch::Tensor& x, const torch::Tensor& residual, bool rectify) {
  const std::uint64_t key = RandomBits(seed_.bits, StreamOf("dropout"), calls_++);
  return MaskedFunction::apply(x, residual.defined() ? std::optional(residual) : std::nullopt, rate_,
                               static_cast<std::int64_t>(key), seed_.first_row, rectify);
}

torch::Tensor Dropout::Apply(const torch::Tensor& x) {
  return MakesMasksFor(x) ? Call(x, {}, false) : torch::dropout(x, rate_, rate_ > 0);
}

torch::Tensor Dropout::ApplyAndAdd(const torch::Tensor& x, const torch::Tensor& residual) {
  FERMENT_CHECK(x.sizes() == residual.sizes()) << "x=" << x.sizes() << " residual=" << residual.sizes();
  return MakesMasksFor(x) ? Call(x, residual, false) : residual + torch::dropout(x, rate_, rate_ > 0);
}

torch::Tensor Dropout::RectifyAndApply(const torch::Tensor& x) {
  return MakesMasksFor(x) ? Call(x, {}, true) : torch::dropout(torch::relu(x), rate_, rate_ > 0);
}

}  // namespace ferment::nn
