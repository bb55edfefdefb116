// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/channel_loops.h"

#include <vector>

#include "common/nn/kernels/channel_blocks.h"

namespace ferment::nn {
namespace {

template <typename S, typename T = Computed<S>>
struct Plan {
  const T* scale;
  const T* shift;
  const S* residual;  // of the same rows, or null
  bool rectify;
};

template <typename T>
FERMENT_BODY T Line(T x, T scale, T shift) {
  return x * scale + shift;
}

template <typename S, typename T = Computed<S>>
FERMENT_BODY void TransformBlock(const S* x, Extent extent, const Plan<S>& plan, S* y) {
  const auto run = [&](auto value) __attribute__((always_inline)) {
    for (std::int64_t r = 0; r < extent.rows; ++r) {
      FERMENT_VECTORS
      for (std::int64_t c = 0; c < extent.channels; ++c) {
        const std::int64_t i = r * extent.channels + c;
        y[i] = Narrow<S>(value(i, Line(Widen(x[i]), plan.scale[c], plan.shift[c])));
      }
    }
  };
  const S* residual = plan.residual;
  const auto positive = [](T v) { return v < 0 ? T(0) : v; };  // NaN stays
  if (residual != nullptr && plan.rectify) {
    run([&](std::int64_t i, T v) { return positive(v + Widen(residual[i])); });
  } else if (residual != nullptr) {
    run([&](std::int64_t i, T v) { return v + Widen(residual[i]); });
  } else if (plan.rectify) {
    run([&](std::int64_t, T v) { return positive(v); });
  } else {
    run([](std::int64_t, T v) { return v; });
  }
}

template <typename S, typename T = Computed<S>>
struct GradientPlan {
  const S* dy;
  const S* x;
  const S* y;  // null: not looked at
  const T* mean;
  const T* scale;
  const T* shift;
  bool rectify;
};

/// Calls use(i, c, dz) for every element.
template <typename S, typename Use, typename T = Computed<S>>
FERMENT_BODY void ForEachGradient(const GradientPlan<S>& plan, Extent extent, Use use) {
  const auto run = [&](auto passes) __attribute__((always_inline)) {
    for (std::int64_t r = 0; r < extent.rows; ++r) {
      FERMENT_VECTORS
      for (std::int64_t c = 0; c < extent.channels; ++c) {
        const std::int64_t i = r * extent.channels + c;
        const T dy = Widen(plan.dy[i]);  // read in any case, or the loop is not made of vectors
        use(i, c, passes(i, c) ? dy : T(0));
      }
    }
  };
  if (!plan.rectify) {
    run([](std::int64_t, std::int64_t) { return true; });
  } else if (plan.y != nullptr) {
    run([&](std::int64_t i, std::int64_t) { return !(Widen(plan.y[i]) <= 0); });
  } else {
    run([&](std::int64_t i, std::int64_t c) { return !(Line(Widen(plan.x[i]), plan.scale[c], plan.shift[c]) <= 0); });
  }
}

template <typename S, typename T = Computed<S>>
FERMENT_BODY void SumsOfBlock(const GradientPlan<S>& plan, Extent extent, T* sums, T* products) {
  FERMENT_VECTORS
  for (std::int64_t c = 0; c < extent.channels; ++c) sums[c] = products[c] = 0;
  ForEachGradient(
      plan, extent, [&](std::int64_t i, std::int64_t c, T dz) __attribute__((always_inline)) {
        sums[c] += dz;
        products[c] += dz * (Widen(plan.x[i]) - plan.mean[c]);
      });
}

template <typename S, typename T = Computed<S>>
struct GradientOutput {
  const T* slope;
  const T* offset;
  S* dx;
  S* dz;  // null: not wanted
};

template <typename S, typename T = Computed<S>>
FERMENT_BODY void GradientBlock(const GradientPlan<S>& plan, Extent extent, const GradientOutput<S>& out) {
  const auto dx = [&](std::int64_t i, std::int64_t c, T dz) __attribute__((always_inline)) {
    return Narrow<S>(dz * plan.scale[c] + ((Widen(plan.x[i]) - plan.mean[c]) * out.slope[c] + out.offset[c]));
  };
  if (out.dz != nullptr) {
    ForEachGradient(
        plan, extent, [&](std::int64_t i, std::int64_t c, T dz) __attribute__((always_inline)) {
          out.dz[i] = Narrow<S>(dz);
          out.dx[i] = dx(i, c, dz);
        });
  } else {
    ForEachGradient(
        plan,
        extent, [&](std::int64_t i, std::int64_t c, T dz) __attribute__((always_inline)) { out.dx[i] = dx(i, c, dz); });
  }
}

FERMENT_PROCESSORS void Apply(const float* x, Extent e, const Plan<float>& plan, float* y) {
  TransformBlock(x, e, plan, y);
}
FERMENT_PROCESSORS void Apply(const double* x, Extent e, const Plan<double>& plan, double* y) {
  TransformBlock(x, e, plan, y);
}
FERMENT_PROCESSORS void Apply(const c10::BFloat16* x, Extent e, const Plan<c10::BFloat16>& plan, c10::BFloat16* y) {
  TransformBlock(x, e, plan, y);
}
FERMENT_PROCESSORS void Sums(const GradientPlan<float>& plan, Extent e, float* sums, float* products) {
  SumsOfBlock(plan, e, sums, products);
}
FERMENT_PROCESSORS void Sums(const GradientPlan<double>& plan, Extent e, double* sums, double* products) {
  SumsOfBlock(plan, e, sums, products);
}
FERMENT_PROCESSORS void Sums(const GradientPlan<c10::BFloat16>& plan, Extent e, float* sums, float* products) {
  SumsOfBlock(plan, e, sums, products);
}
FERMENT_PROCESSORS void Differentiate(const GradientPlan<float>& plan, Extent e, const GradientOutput<float>& out) {
  GradientBlock(plan, e, out);
}
FERMENT_PROCESSORS void Differentiate(const GradientPlan<double>& plan, Extent e, const GradientOutput<double>& out) {
  GradientBlock(plan, e, out);
}

FERMENT_PROCESSORS void Differentiate(const GradientPlan<c10::BFloat16>& plan, Extent e,
                                      const GradientOutput<c10::BFloat16>& out) {
  GradientBlock(plan, e, out);
}

template <typename T>
const T* PointerOrNull(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

template <typename S, typename T = Computed<S>>
GradientPlan<S> PlanOf(const ChannelGradient& gradient) {
  const ChannelTransform& transform = gradient.transform;
  const bool look = transform.rectify && transform.residual.defined();
  return {gradient.dy.const_data_ptr<S>(),
          gradient.x.const_data_ptr<S>(),
          look ? gradient.y.const_data_ptr<S>() : nullptr,
          gradient.mean.const_data_ptr<T>(),
          transform.scale.const_data_ptr<T>(),
          transform.shift.const_data_ptr<T>(),
          transform.rectify};
}

template <typename S>
GradientPlan<S> At(GradientPlan<S> plan, std::int64_t offset) {
  plan.dy += offset;
  plan.x += offset;
  if (plan.y != nullptr) plan.y += offset;
  return plan;
}

template <typename S, typename T = Computed<S>>
torch::Tensor TransformOf(const torch::Tensor& x, const ChannelTransform& transform) {
  torch::Tensor y = torch::empty_like(x);
  const Plan<S> plan{transform.scale.const_data_ptr<T>(), transform.shift.const_data_ptr<T>(),
                     PointerOrNull<S>(transform.residual), transform.rectify};
  ForEachBlock(ExtentOf(x), [&](std::int64_t, std::int64_t offset, Extent part) {
    Plan<S> own = plan;
    if (own.residual != nullptr) own.residual += offset;
    Apply(x.const_data_ptr<S>() + offset, part, own, y.data_ptr<S>() + offset);
  });
  return y;
}

template <typename S, typename T = Computed<S>>
torch::Tensor SumsOf(const ChannelGradient& gradient) {
  const Extent extent = ExtentOf(gradient.x);
  std::vector<T> blocks(static_cast<std::size_t>(extent.blocks() * 2 * extent.channels));  // [block][2][C]
  const GradientPlan<S> plan = PlanOf<S>(gradient);
  ForEachBlock(extent, [&](std::int64_t block, std::int64_t offset, Extent part) {
    T* sums = blocks.data() + block * 2 * extent.channels;
    Sums(At(plan, offset), part, sums, sums + extent.channels);
  });
  auto joined = torch::zeros({2, extent.channels}, torch::kFloat64);
  double* sums = joined.data_ptr<double>();
  for (std::int64_t block = 0; block < extent.blocks(); ++block) {
    const T* own = blocks.data() + block * 2 * extent.channels;
    for (std::int64_t i = 0; i < 2 * extent.channels; ++i) sums[i] += static_cast<double>(own[i]);
  }
  return joined;
}

template <typename S, typename T = Computed<S>>
InputGradient GradientOf(const ChannelGradient& gradient, const torch::Tensor& slope, const torch::Tensor& offset,
                         bool with_dz) {
  InputGradient result{torch::empty_like(gradient.x), with_dz ? torch::empty_like(gradient.x) : torch::Tensor()};
  const GradientPlan<S> plan = PlanOf<S>(gradient);
  ForEachBlock(ExtentOf(gradient.x), [&](std::int64_t, std::int64_t at, Extent part) {
    Differentiate(At(plan, at), part,
                  {slope.const_data_ptr<T>(), offset.const_data_ptr<T>(), result.dx.data_ptr<S>() + at,
                   with_dz ? result.dz.data_ptr<S>() + at : nullptr});
  });
  return result;
}

}  // namespace

bool HasChannelLoops(const torch::Tensor& x) {
  const auto type = x.scalar_type();
  if (!x.is_cpu() || (type != torch::kFloat32 && type != torch::kFloat64 && type != torch::kBFloat16)) return false;
  if (x.dim() == 2) return x.is_contiguous();
  return x.dim() == 4 && x.is_contiguous(torch::MemoryFormat::ChannelsLast);
}

torch::Tensor Transform(const torch::Tensor& x, const ChannelTransform& transform) {
  return ByType(x, [&](auto type) { return TransformOf<decltype(type)>(x, transform); });
}

torch::Tensor GradientSums(const ChannelGradient& gradient) {
  return ByType(gradient.x, [&](auto type) { return SumsOf<decltype(type)>(gradient); });
}

InputGradient GradientOfInput(const ChannelGradient& gradient, const torch::Tensor& slope, const torch::Tensor& offset,
                              bool with_dz) {
  return ByType(gradient.x, [&](auto type) { return GradientOf<decltype(type)>(gradient, slope, offset, with_dz); });
}

}  // namespace ferment::nn
