// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/png_writer.h"

#include <zlib.h>

#include <cstring>
#include <span>
#include <string_view>

#include "common/base/check.h"
#include "common/io/checksum.h"

namespace ferment::dataset {
namespace {

void AppendBigEndian(std::uint32_t value, std::vector<std::byte>& out) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::byte>(value >> shift & 0xFF));
}

void AppendChunk(std::string_view type, std::span<const std::byte> data, std::vector<std::byte>& out) {
  AppendBigEndian(static_cast<std::uint32_t>(data.size()), out);
  const std::size_t begin = out.size();
  for (const char c : type) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), data.begin(), data.end());
  AppendBigEndian(io::Crc32(std::span(out).subspan(begin)), out);
}

}  // namespace

std::vector<std::byte> EncodePng(const Image& image) {
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * 3;
  std::vector<std::uint8_t> rows;
  rows.reserve(image.rgb.size() + static_cast<std::size_t>(image.height));
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    rows.push_back(0);
    rows.insert(rows.end(), image.rgb.begin() + static_cast<std::ptrdiff_t>(y * row_bytes),
                image.rgb.begin() + static_cast<std::ptrdiff_t>((y + 1) * row_bytes));
  }
  uLongf packed_size = compressBound(static_cast<uLong>(rows.size()));
  std::vector<std::byte> packed(packed_size);
  FERMENT_CHECK(compress(reinterpret_cast<Bytef*>(packed.data()), &packed_size, rows.data(),
                         static_cast<uLong>(rows.size())) == Z_OK);
  packed.resize(packed_size);

  constexpr std::string_view kSignature = "\x89PNG\r\n\x1A\n";
  std::vector<std::byte> png(kSignature.size());
  std::memcpy(png.data(), kSignature.data(), kSignature.size());
  std::vector<std::byte> header;
  AppendBigEndian(static_cast<std::uint32_t>(image.width), header);
  AppendBigEndian(static_cast<std::uint32_t>(image.height), header);
  for (const int field : {8, 2, 0, 0, 0}) header.push_back(static_cast<std::byte>(field));
  AppendChunk("IHDR", header, png);
  AppendChunk("IDAT", packed, png);
  AppendChunk("IEND", {}, png);
  return png;
}

}  // namespace ferment::dataset
