// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/quantized_tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "common/nn/kernels/quantized_store.h"

namespace ferment::nn {
namespace {

#define FERMENT_AMX __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")))
#define FERMENT_AMX_PART FERMENT_AMX __attribute__((always_inline)) inline

constexpr std::int64_t kOut = kQuantizedTileOutputs;
/// A register of tiles: sixteen rows of 64 bytes.
constexpr std::int64_t kRows = 16;
constexpr std::int64_t kRowBytes = 64;
constexpr std::int64_t kTileBytes = kRows * kRowBytes;

/// 64 bytes of each of sixteen pixels.
struct alignas(kRowBytes) PixelTile {
  std::uint8_t bytes[kRows][kRowBytes];
};

struct alignas(kRowBytes) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {kRowBytes, kRowBytes, kRowBytes, kRowBytes,
                                 kRowBytes, kRowBytes, kRowBytes, kRowBytes};
  std::uint8_t rows[16] = {kRows, kRows, kRows, kRows, kRows, kRows, kRows, kRows};
};
/// Static: GCC 12's intrinsic names its first eight bytes alone as what it reads, so of a local one the rest might
/// never be written.
constexpr TileConfig kWholeTiles;

/// Sums of kTiles times sixteen pixels and kBlocks times sixteen outputs, to `sums` [16 kTiles][16 kBlocks].
/// `pixels`: of `steps` tiles each, one behind the other; `stride`: bytes from one block of outputs' weights to the
/// next.
template <int kTiles, int kBlocks>
FERMENT_AMX_PART void Multiply(const PixelTile* pixels, const std::int8_t* weights, std::int64_t stride,
                               std::int64_t steps, std::int32_t* sums) {
  // Registers are named in the instructions: 0 to 3 for sums, 4 and 5 for pixels, 6 and 7 for weights.
  _tile_zero(0);
  if constexpr (kBlocks > 1) _tile_zero(1);
  if constexpr (kTiles > 1) _tile_zero(2);
  if constexpr (kTiles > 1 && kBlocks > 1) _tile_zero(3);
  for (std::int64_t step = 0; step < steps; ++step, weights += kTileBytes) {
    _tile_loadd(6, weights, kRowBytes);
    _tile_loadd(4, pixels + step, kRowBytes);
    _tile_dpbusd(0, 4, 6);
    if constexpr (kBlocks > 1) {
      _tile_loadd(7, weights + stride, kRowBytes);
      _tile_dpbusd(1, 4, 7);
    }
    if constexpr (kTiles > 1) {
      _tile_loadd(5, pixels + steps + step, kRowBytes);
      _tile_dpbusd(2, 5, 6);
      if constexpr (kBlocks > 1) _tile_dpbusd(3, 5, 7);
    }
  }
  constexpr std::int64_t kRow = kBlocks * kOut;
  _tile_stored(0, sums, kRow * 4);
  if constexpr (kBlocks > 1) _tile_stored(1, sums + kOut, kRow * 4);
  if constexpr (kTiles > 1) _tile_stored(2, sums + kRows * kRow, kRow * 4);
  if constexpr (kTiles > 1 && kBlocks > 1) _tile_stored(3, sums + kRows * kRow + kOut, kRow * 4);
}

/// A part of a tap that lies in one 64 of a pixel's bytes.
struct Piece {
  std::int64_t tap;
  std::int64_t from;  // in the tap
  std::int64_t to;    // in the tiles
  __mmask64 read;
  __mmask64 written;  // zeros where it is more
};

/// All taps of a pixel, one behind the other. The last one fills its 64 bytes up with zeros: the weights there are
/// those of other outputs.
std::vector<Piece> PiecesOf(const TapTable& table) {
  std::vector<Piece> pieces;
  const auto first = [](std::int64_t bytes) { return ~__mmask64{0} >> (kRowBytes - bytes); };
  const std::int64_t run = table.Fours() * 4;
  std::int64_t at = 0;
  for (std::int64_t tap = 0; tap < table.taps; ++tap) {
    for (std::int64_t from = 0; from < run;) {
      const std::int64_t in_row = at % kRowBytes, length = std::min(run - from, kRowBytes - in_row);
      pieces.push_back({tap, from, at / kRowBytes * kTileBytes + in_row, first(length), first(length)});
      from += length;
      at += length;
    }
  }
  pieces.back().written = first(kRowBytes - pieces.back().to % kTileBytes);
  return pieces;
}

/// What sixteen rows of `block` from `row` on read.
FERMENT_AMX void Gather(const RowBlock<std::uint8_t>& block, std::int64_t row, const std::vector<Piece>& pieces,
                        PixelTile* tiles) {
  for (std::int64_t i = 0; i < kRows; ++i) {
    const TileRow<std::uint8_t>& from = *block.At(row + i);
    for (const Piece& piece : pieces) {
      const std::uint8_t* const bytes = from.Tap(piece.tap, block.outside) + piece.from;
      _mm512_mask_storeu_epi8(tiles->bytes[i] + piece.to, piece.written, _mm512_maskz_loadu_epi8(piece.read, bytes));
    }
  }
}

/// What 16 kTiles rows of a block become.
template <int kTiles, int kBlocks, bool kResidual>
FERMENT_AMX_PART void ConvolveTiles(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block, std::int64_t row,
                                    const PixelTile* pixels, std::int64_t steps, std::int64_t channel) {
  const std::int64_t stride = kOut * block.table.taps * block.table.Fours() * 4;
  alignas(kRowBytes) std::int32_t sums[kTiles * kRows * kBlocks * kOut];
  Multiply<kTiles, kBlocks>(pixels + row / kRows * steps, p.weights + channel / kOut * stride, stride, steps, sums);
  StoreRows<kBlocks, kResidual>(p, sums, std::min(block.count - row, kTiles * kRows),
                                (block.first + row) * p.at.out + channel, channel);
}

template <int kBlocks, bool kResidual>
FERMENT_AMX void ConvolveChannels(const QuantizedProblem& problem, const RowBlock<std::uint8_t>& block,
                                  const PixelTile* pixels, std::int64_t steps, std::int64_t channel) {
  // A copy, as a stored byte might be anything else to the compiler.
  const QuantizedProblem p = problem;
  std::int64_t row = 0;
  for (; row + kRows < block.count; row += 2 * kRows) {
    ConvolveTiles<2, kBlocks, kResidual>(p, block, row, pixels, steps, channel);
  }
  if (row < block.count) ConvolveTiles<1, kBlocks, kResidual>(p, block, row, pixels, steps, channel);
}

template <bool kResidual>
void ConvolveGathered(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block, const PixelTile* pixels,
                      std::int64_t steps) {
  for (std::int64_t channel = 0; channel < p.at.out; channel += 2 * kOut) {
    p.at.out - channel > kOut ? ConvolveChannels<2, kResidual>(p, block, pixels, steps, channel)
                              : ConvolveChannels<1, kResidual>(p, block, pixels, steps, channel);
  }
}

}  // namespace

bool MayUseAmx() {
  // The kernel gives a process the tiles' state when it asks (Documentation/arch/x86/xstate.rst).
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

FERMENT_AMX void ConvolveBlockAmx(const QuantizedProblem& p, const RowBlock<std::uint8_t>& block) {
  const std::vector<Piece> pieces = PiecesOf(block.table);
  const std::int64_t steps = pieces.back().to / kTileBytes + 1;
  const std::int64_t tiles = (block.count + kRows - 1) / kRows;
  // Kept by each thread: the system would clear its pages anew each time.
  thread_local std::vector<PixelTile> gathered;
  const auto needed = static_cast<std::size_t>(steps * tiles);
  if (gathered.size() < needed) gathered.resize(needed);
  for (std::int64_t tile = 0; tile < tiles; ++tile) Gather(block, tile * kRows, pieces, &gathered[tile * steps]);
  // Nor does it say that loading a tile reads memory.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  _tile_loadconfig(&kWholeTiles);
  p.residual == nullptr ? ConvolveGathered<false>(p, block, gathered.data(), steps)
                        : ConvolveGathered<true>(p, block, gathered.data(), steps);
  _tile_release();
}

}  // namespace ferment::nn

#endif
