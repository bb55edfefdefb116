// SPDX-License-Identifier: Apache-2.0
#include "common/nn/channel_loops.h"

#include <algorithm>
#include <bit>
#include <type_traits>
#include <vector>

#include "common/nn/parallel_parts.h"

// The loops are compiled for each class of processors, and the right ones chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FERMENT_PROCESSORS __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define FERMENT_PROCESSORS
#endif
// Says of a loop that no turn of it reads what another writes.
#if defined(__GNUC__) && !defined(__clang__)
#define FERMENT_VECTORS _Pragma("GCC ivdep")
#else
#define FERMENT_VECTORS
#endif
#define FERMENT_BODY inline __attribute__((always_inline))

namespace ferment::nn {
namespace {

/// Elements of a block of rows: small enough for a second-level cache, large enough that joining blocks costs nothing.
constexpr std::int64_t kBlock = 1 << 15;

struct Extent {
  std::int64_t rows;
  std::int64_t channels;

  std::int64_t block_rows() const { return std::max<std::int64_t>(1, kBlock / channels); }
  std::int64_t blocks() const { return (rows + block_rows() - 1) / block_rows(); }
  std::int64_t RowsIn(std::int64_t block) const { return std::min(block_rows(), rows - block * block_rows()); }
  std::int64_t Offset(std::int64_t block) const { return block * block_rows() * channels; }
};

Extent ExtentOf(const torch::Tensor& x) { return {x.size(1) == 0 ? 0 : x.numel() / x.size(1), x.size(1)}; }

/// What the loops compute in where memory holds S.
template <typename S>
using Computed = std::conditional_t<std::is_same_v<S, double>, double, float>;

FERMENT_BODY double Widen(double value) { return value; }
FERMENT_BODY float Widen(float value) { return value; }
FERMENT_BODY float Widen(c10::BFloat16 value) { return std::bit_cast<float>(std::uint32_t{value.x} << 16U); }

template <typename S>
FERMENT_BODY S Narrow(Computed<S> value) {
  if constexpr (std::is_same_v<S, c10::BFloat16>) {
    // To the nearest, to the even one of two: what processors with the type do, and in vectors.
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t nearest = (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
    return {static_cast<std::uint16_t>(value != value ? 0x7fc0U : nearest), c10::BFloat16::from_bits()};
  } else {
    return value;
  }
}

template <typename S, typename T = Computed<S>>
FERMENT_BODY void MomentsOfBlock(const S* x, Extent extent, T* mean, T* deviation) {
  FERMENT_VECTORS
  for (std::int64_t c = 0; c < extent.channels; ++c) mean[c] = deviation[c] = 0;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    FERMENT_VECTORS
    for (std::int64_t c = 0; c < extent.channels; ++c) mean[c] += Widen(x[r * extent.channels + c]);
  }
  FERMENT_VECTORS
  for (std::int64_t c = 0; c < extent.channels; ++c) mean[c] /= static_cast<T>(extent.rows);
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    FERMENT_VECTORS
    for (std::int64_t c = 0; c < extent.channels; ++c) {
      const T off = Widen(x[r * extent.channels + c]) - mean[c];
      deviation[c] += off * off;
    }
  }
}

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

FERMENT_PROCESSORS void Moments(const float* x, Extent e, float* mean, float* deviation) {
  MomentsOfBlock(x, e, mean, deviation);
}
FERMENT_PROCESSORS void Moments(const double* x, Extent e, double* mean, double* deviation) {
  MomentsOfBlock(x, e, mean, deviation);
}
FERMENT_PROCESSORS void Moments(const c10::BFloat16* x, Extent e, float* mean, float* deviation) {
  MomentsOfBlock(x, e, mean, deviation);
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

/// Calls body(block, offset, extent of the block) on some thread for every block of rows.
template <typename Body>
void ForEachBlock(Extent extent, const Body& body) {
  ForEachPart(extent.blocks(), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t block = first; block < last; ++block) {
      body(block, extent.Offset(block), Extent{extent.RowsIn(block), extent.channels});
    }
  });
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

/// Two [C] rows a block, side by side.
template <typename T>
std::vector<T> RowsOfBlocks(Extent extent) {
  return std::vector<T>(static_cast<std::size_t>(extent.blocks() * 2 * extent.channels));
}

template <typename S, typename T = Computed<S>>
torch::Tensor MomentsOf(const torch::Tensor& x) {
  const Extent extent = ExtentOf(x);
  const std::int64_t channels = extent.channels;
  auto joined = torch::zeros({2, channels}, torch::kFloat64);
  if (extent.rows == 0) return joined;
  std::vector<T> blocks = RowsOfBlocks<T>(extent);
  ForEachBlock(extent, [&](std::int64_t block, std::int64_t offset, Extent part) {
    T* mean = blocks.data() + block * 2 * channels;
    Moments(x.const_data_ptr<S>() + offset, part, mean, mean + channels);
  });
  double* mean = joined.data_ptr<double>();
  double* deviation = mean + channels;
  const auto for_each = [&](const auto& use) {
    for (std::int64_t block = 0; block < extent.blocks(); ++block) {
      const T* own = blocks.data() + block * 2 * channels;
      const double share = static_cast<double>(extent.RowsIn(block)) / static_cast<double>(extent.rows);
      for (std::int64_t c = 0; c < channels; ++c) use(c, share, own[c], own[channels + c]);
    }
  };
  for_each([&](std::int64_t c, double share, double own_mean, double) { mean[c] += share * own_mean; });
  for_each([&](std::int64_t c, double share, double own_mean, double own_deviation) {
    const double off = own_mean - mean[c];
    deviation[c] += own_deviation / static_cast<double>(extent.rows) + share * off * off;
  });
  return joined;
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
  std::vector<T> blocks = RowsOfBlocks<T>(extent);
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

/// Returns: of(a value of the type that `x` holds).
template <typename Of>
auto ByType(const torch::Tensor& x, const Of& of) {
  if (x.scalar_type() == torch::kFloat64) return of(double());
  return x.scalar_type() == torch::kBFloat16 ? of(c10::BFloat16()) : of(float());
}

}  // namespace

bool HasChannelLoops(const torch::Tensor& x) {
  const auto type = x.scalar_type();
  if (!x.is_cpu() || (type != torch::kFloat32 && type != torch::kFloat64 && type != torch::kBFloat16)) return false;
  if (x.dim() == 2) return x.is_contiguous();
  return x.dim() == 4 && x.is_contiguous(torch::MemoryFormat::ChannelsLast);
}

torch::Tensor ChannelMoments(const torch::Tensor& x) {
  return ByType(x, [&](auto type) { return MomentsOf<decltype(type)>(x); });
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
