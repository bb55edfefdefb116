// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/convolution_rows.h"

#include <limits>

#include "common/base/check.h"

namespace ferment::nn {

ConvolutionGeometry ConvolutionGeometry::OfPaddedCopy() const {
  ConvolutionGeometry copy = *this;
  copy.h += 2 * shape.padding;
  copy.w += 2 * shape.padding;
  copy.shape.padding = 0;
  copy.whole_rows = true;
  return copy;
}

ConvolutionGeometry GeometryOf(std::int64_t images, std::int64_t h, std::int64_t w, std::int64_t in, std::int64_t out,
                               const ConvolutionShape& shape) {
  const auto reached = [&shape](std::int64_t side) {
    FERMENT_CHECK(side + 2 * shape.padding >= shape.kernel) << "side=" << side << " kernel=" << shape.kernel;
    return (side + 2 * shape.padding - shape.kernel) / shape.stride + 1;
  };
  return {images, h, w, in, reached(h), reached(w), out, shape};
}

TapTable TapsOf(const ConvolutionGeometry& at) {
  const std::int64_t kernel = at.shape.kernel, columns = at.whole_rows ? 1 : kernel;
  FERMENT_CHECK(at.h * at.w * at.in <= std::numeric_limits<std::int32_t>::max())
      << "h=" << at.h << " w=" << at.w << " channels=" << at.in;
  TapTable table{{}, kernel * columns, at.in * (at.whole_rows ? kernel : 1)};
  table.starts.reserve(static_cast<std::size_t>(at.oh * at.ow * table.taps));
  for (std::int64_t oy = 0; oy < at.oh; ++oy) {
    for (std::int64_t ox = 0; ox < at.ow; ++ox) {
      for (std::int64_t ky = 0; ky < kernel; ++ky) {
        const std::int64_t y = oy * at.shape.stride + ky - at.shape.padding;
        for (std::int64_t kx = 0; kx < columns; ++kx) {
          const std::int64_t x = ox * at.shape.stride + kx - at.shape.padding;
          const bool inside = y >= 0 && y < at.h && x >= 0 && x < at.w;
          table.starts.push_back(inside ? static_cast<std::int32_t>((y * at.w + x) * at.in) : -1);
        }
      }
    }
  }
  return table;
}

}  // namespace ferment::nn
