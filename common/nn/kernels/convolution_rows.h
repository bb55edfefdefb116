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

/// Output pixels that one block of output channels after another is made for. A part of its RowBlocks.
template <typename T>
struct RowBlock {
  const TapTable& table;
  std::int64_t first;  // of the pixels of all images
  std::int64_t count;
  /// `count`, and the last of them as often as a tile may reach beyond.
  std::vector<TileRow<T>> rows;
  const T* outside;  // a tap of what is read there

  const TileRow<T>* At(std::int64_t row) const { return &rows[static_cast<std::size_t>(row)]; }
};

inline constexpr std::int64_t kManyBlocks = 64;  // enough for many threads
inline constexpr std::int64_t kShortBlock = 96;

/// Pixels of a tile in vectors, at most.
inline constexpr std::int64_t kLongestTile = 12;

/// All output pixels, cut into blocks that read about `together` values of `x`, or into kManyBlocks if that makes more.
template <typename T>
class RowBlocks {
 public:
  /// `outside`: what is read where a tap lies outside of its image. `tile`: pixels of the longest one. Requires: `x`
  /// outlives this.
  RowBlocks(const ConvolutionGeometry& at, const T* x, T outside, std::int64_t together,
            std::int64_t tile = kLongestTile)
      : at_(at),
        x_(x),
        tile_(tile),
        table_(TapsOf(at)),
        outside_(static_cast<std::size_t>(table_.run + 4), outside),  // fours are read whole
        step_(StepOf(together / table_.run)) {}

  std::int64_t count() const { return (rows() + step_ - 1) / step_; }
  std::int64_t RowsIn(std::int64_t block) const { return std::min(step_, rows() - block * step_); }

  /// Thread: any number at a time.
  RowBlock<T> At(std::int64_t block) const {
    const std::int64_t pixels = at_.oh * at_.ow, image_values = at_.h * at_.w * at_.in;
    RowBlock<T> made{table_, block * step_, RowsIn(block), {}, outside_.data()};
    made.rows.resize(static_cast<std::size_t>(made.count + tile_ - 1));
    std::int64_t pixel = made.first % pixels;
    const T* image = x_ + made.first / pixels * image_values;
    for (auto row = made.rows.begin(), end = row + made.count; row != end; ++row) {
      *row = {image, table_.starts.data() + pixel * table_.taps};
      if (++pixel < pixels) continue;
      pixel = 0;
      image += image_values;
    }
    std::fill(made.rows.begin() + made.count, made.rows.end(), made.rows[static_cast<std::size_t>(made.count - 1)]);
    return made;
  }

 private:
  std::int64_t rows() const { return at_.images * at_.oh * at_.ow; }
  /// Whole tiles; fewer than kShortBlock would read the weights too often.
  std::int64_t StepOf(std::int64_t most) const {
    const std::int64_t step = std::min(most, std::max(rows() / kManyBlocks, kShortBlock));
    return std::clamp<std::int64_t>(step / tile_, 1, 128) * tile_;
  }

  ConvolutionGeometry at_;
  const T* x_;
  std::int64_t tile_;
  TapTable table_;
  std::vector<T> outside_;
  std::int64_t step_;
};

/// Output channels.
struct ChannelRange {
  std::int64_t first, last;
};

/// Calls `convolve(std::integral_constant<int, blocks>(), channel)` until all `channels` are made, `each` a block: four
/// blocks at a time, then two, then one.
template <typename Convolve>
void ForEachTileWidth(ChannelRange channels, std::int64_t each, Convolve&& convolve) {
  for (std::int64_t channel = channels.first; channel < channels.last;) {
    const std::int64_t blocks = (channels.last - channel + each - 1) / each;
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
