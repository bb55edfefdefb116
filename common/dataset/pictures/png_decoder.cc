// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/png_decoder.h"

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/dataset/pictures/jpeg_decoder.h"
#include "common/io/checksum.h"

namespace ferment::dataset {
namespace {

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
constexpr std::size_t kChunkFrameBytes = 12;
constexpr std::uint64_t kDeflateMaxRatio = 1032;

struct PngHeader {
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::size_t channels = 0;
};

Status Broken(std::string_view what) { return DataLossError("png-broken: " + std::string(what)); }

std::uint32_t BigEndian(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

Result<PngHeader> ParseHeader(std::span<const std::byte> data) {
  if (data.size() != 13) return Fail(Broken("header of the wrong length"));
  PngHeader header = {BigEndian(data, 0), BigEndian(data, 4), 0};
  const int depth = std::to_integer<int>(data[8]);
  const int color = std::to_integer<int>(data[9]);
  const std::string size = std::to_string(header.width) + "x" + std::to_string(header.height);
  if (header.width == 0 || header.height == 0) return Fail(Broken("no pixels: size=" + size));
  if (header.width > kMaxPixels || header.width * header.height > kMaxPixels)
    return Fail(DataLossError("png-huge: size=" + size + " max_pixels=" + std::to_string(kMaxPixels)));
  header.channels = color == 0 ? 1 : color == 2 ? 3 : color == 4 ? 2 : color == 6 ? 4 : 0;
  if (depth != 8 || header.channels == 0 || data[12] != std::byte{0})
    return Fail(DataLossError("png-kind: only eight bits, gray or RGB, not interlaced: depth=" + std::to_string(depth) +
                              " color=" + std::to_string(color)));
  return header;
}

int Paeth(int left, int above, int corner) {
  const int guess = left + above - corner;
  const int by_left = std::abs(guess - left);
  const int by_above = std::abs(guess - above);
  const int by_corner = std::abs(guess - corner);
  if (by_left <= by_above && by_left <= by_corner) return left;
  return by_above <= by_corner ? above : corner;
}

/// Undoes the filter of one row in place; `above` is the row before it, or zeros.
bool Unfilter(int filter, std::size_t channels, std::span<const std::uint8_t> above, std::span<std::uint8_t> row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const int left = i >= channels ? row[i - channels] : 0;
    const int corner = i >= channels ? above[i - channels] : 0;
    int guess = 0;
    switch (filter) {
      case 0:
        break;
      case 1:
        guess = left;
        break;
      case 2:
        guess = above[i];
        break;
      case 3:
        guess = (left + above[i]) / 2;
        break;
      case 4:
        guess = Paeth(left, above[i], corner);
        break;
      default:
        return false;
    }
    row[i] = static_cast<std::uint8_t>(row[i] + guess);
  }
  return true;
}

Result<Image> Assemble(const PngHeader& header, std::span<const std::byte> packed) {
  const std::size_t stride = header.width * header.channels;
  if ((stride + 1) * header.height > packed.size() * kDeflateMaxRatio + 64) return Fail(Broken("pixels are missing"));
  std::vector<std::uint8_t> rows((stride + 1) * header.height);
  uLongf size = rows.size();
  if (::uncompress(rows.data(), &size, reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != Z_OK ||
      size != rows.size())
    return Fail(Broken("pixels are missing or broken"));
  Image image = {static_cast<int>(header.width), static_cast<int>(header.height), {}};
  image.rgb.reserve(3 * header.width * header.height);
  std::vector<std::uint8_t> above(stride, 0);
  for (std::size_t y = 0; y < header.height; ++y) {
    const std::span<std::uint8_t> row(rows.data() + y * (stride + 1) + 1, stride);
    if (!Unfilter(rows[y * (stride + 1)], header.channels, above, row))
      return Fail(Broken("unknown filter: row=" + std::to_string(y)));
    for (std::size_t x = 0; x < header.width; ++x) {
      const std::uint8_t* pixel = row.data() + x * header.channels;
      for (std::size_t c = 0; c < 3; ++c) image.rgb.push_back(pixel[header.channels >= 3 ? c : 0]);
    }
    above.assign(row.begin(), row.end());
  }
  return image;
}

}  // namespace

bool IsPng(std::span<const std::byte> bytes) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(kSignature);
}

Result<Image> DecodePng(std::span<const std::byte> bytes) {
  if (!IsPng(bytes)) return Fail(DataLossError("not-a-png: bytes=" + std::to_string(bytes.size())));
  PngHeader header;
  std::vector<std::byte> packed;
  for (std::size_t at = kSignature.size(); bytes.size() - at >= kChunkFrameBytes;) {
    const std::uint64_t length = BigEndian(bytes, at);
    if (length > bytes.size() - at - kChunkFrameBytes) return Fail(Broken("chunk runs past the end"));
    const std::string_view kind(reinterpret_cast<const char*>(bytes.data()) + at + 4, 4);
    const auto data = bytes.subspan(at + 8, length);
    if (io::Crc32(bytes.subspan(at + 4, length + 4)) != BigEndian(bytes, at + 8 + length))
      return Fail(Broken("CRC differs"));
    if (kind == "IHDR") {
      FERMENT_ASSIGN_OR_RETURN(header, ParseHeader(data));
    } else if (kind == "IDAT") {
      packed.insert(packed.end(), data.begin(), data.end());
    } else if (kind == "IEND") {
      if (header.channels == 0) return Fail(Broken("no header"));
      return Assemble(header, packed);
    }
    at += kChunkFrameBytes + length;
  }
  return Fail(Broken("no end chunk, the file is cut short: bytes=" + std::to_string(bytes.size())));
}

}  // namespace ferment::dataset
