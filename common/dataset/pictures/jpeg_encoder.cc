// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/jpeg_encoder.h"

#include <jpeglib.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

namespace ferment::dataset {
namespace {

constexpr int kLargestSide = 65500;

struct FreeBuffer {
  void operator()(unsigned char* buffer) const { std::free(buffer); }
};

}  // namespace

Result<std::vector<std::byte>> EncodeJpeg(const Image& image, int quality) {
  if (image.width < 1 || image.height < 1 || image.width > kLargestSide || image.height > kLargestSide)
    return Fail(InvalidArgumentError("a JPEG has 1..65500 pixels a side: width=" + std::to_string(image.width) +
                                     " height=" + std::to_string(image.height)));
  jpeg_error_mgr errors;
  jpeg_compress_struct encoder;
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* target = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &target, &size);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.input_components = 3;
  encoder.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, quality, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * 3;
  while (encoder.next_scanline < encoder.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.rgb.data() + encoder.next_scanline * row_bytes);
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  const std::unique_ptr<unsigned char, FreeBuffer> owner(target);
  const auto bytes = std::as_bytes(std::span(target, size));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace ferment::dataset
