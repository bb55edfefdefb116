// SPDX-License-Identifier: Apache-2.0
//
// Where the tiles of a convolution read: pixels stay where they lie, and a table says where each tap of an output pixel
// begins (an indirect product of matrices: Dukhan, The indirect convolution algorithm, 2019).
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace ferment::nn {

/// Square kernel, equal strides and paddings, one group, no dilation.
struct ConvolutionShape {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
};

/// Values lie as [images][h][w][in], those of the result as [images][oh][ow][out].
struct ConvolutionGeometry {
  std::int64_t images, h, w, in, oh, ow, out;
  ConvolutionShape shape;
  /// A kernel's row is one tap.
  bool whole_rows = false;

  /// Returns: the same convolution of a copy that has its padding in it, with whole rows: a tap of few channels is too
  /// short a loop.
  ConvolutionGeometry OfPaddedCopy() const;
};

/// Below so many input channels a kernel's row should be one tap.
inline constexpr std::int64_t kShortTap = 16;

ConvolutionGeometry GeometryOf(std::int64_t images, std::int64_t h, std::int64_t w, std::int64_t in, std::int64_t out,
                               const ConvolutionShape& shape);

/// Where a tap of each output pixel begins in its image; below zero: outside.
struct TapTable {
  std::vector<std::int32_t> starts;  // [pixel][tap]
  std::int64_t taps;
  std::int64_t run;  // values of a tap

  /// Of values of a tap; the last four may be short.
  std::int64_t Fours() const { return (run + 3) / 4; }
};

TapTable TapsOf(const ConvolutionGeometry& at);

/// Where an output pixel reads.
template <typename T>
struct TileRow {
  const T* image;
  const std::int32_t* starts;

  const T* Tap(std::int64_t tap, const T* outside) const { return starts[tap] >= 0 ? image + starts[tap] : outside; }
};

/// Output pixels that one block of output channels after another is made for.
template <typename T>
struct RowBlock {
  const TapTable& table;
  std::int64_t first;  // of the pixels of all images
  std::int64_t count;
  /// `count`, and the last of them as often as a tile may reach beyond.
  std::vector<TileRow<T>> rows;
  const T* outside;  // a tap of zeros

  const TileRow<T>* At(std::int64_t row) const { return &rows[static_cast<std::size_t>(row)]; }
};

/// Pixels of a tile, at most.
inline constexpr std::int64_t kLongestTile = 12;

/// Calls `convolve` with all output pixels in turn, in blocks that read about `together` values of `x`.
template <typename T, typename Convolve>
void ForEachRowBlock(const ConvolutionGeometry& at, const T* x, const T* outside, const TapTable& table,
                     std::int64_t together, Convolve&& convolve) {
  const std::int64_t pixels = at.oh * at.ow, rows = at.images * pixels;
  const std::int64_t step = std::clamp<std::int64_t>(together / table.run / kLongestTile, 1, 128) * kLongestTile;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t last = std::min(rows, first + step);
    RowBlock<T> block{table, first, last - first, {}, outside};
    block.rows.reserve(static_cast<std::size_t>(last - first + kLongestTile));
    std::int64_t pixel = first % pixels;
    const T* image = x + first / pixels * at.h * at.w * at.in;
    for (std::int64_t row = first; row < last; ++row) {
      block.rows.push_back({image, table.starts.data() + pixel * table.taps});
      if (++pixel < pixels) continue;
      pixel = 0;
      image += at.h * at.w * at.in;
    }
    block.rows.resize(block.rows.size() + kLongestTile - 1, block.rows.back());
    convolve(block);
  }
}

/// Calls `convolve(std::integral_constant<int, blocks>(), channel)` until all of `out` channels are made, `each` a
/// block: four blocks at a time, then two, then one.
template <typename Convolve>
void ForEachTileWidth(std::int64_t out, std::int64_t each, Convolve&& convolve) {
  for (std::int64_t channel = 0; channel < out;) {
    const std::int64_t blocks = (out - channel + each - 1) / each;
    if (blocks >= 4) {
      convolve(std::integral_constant<int, 4>(), channel);
      channel += 4 * each;
    } else if (blocks >= 2) {
      convolve(std::integral_constant<int, 2>(), channel);
      channel += 2 * each;
    } else {
      convolve(std::integral_constant<int, 1>(), channel);
      channel += each;
    }
  }
}

}  // namespace ferment::nn
