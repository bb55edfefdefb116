// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/pictures/picture_decoder.h"

// Any bytes as a picture: pixels that fit the size, or damage.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto image = dataset::DecodePicture(std::as_bytes(std::span(data, size)));
  if (!image) {
    FERMENT_CHECK(image.error().code() == StatusCode::kDataLoss) << image.error().message();
    return 0;
  }
  FERMENT_CHECK(image->rgb.size() ==
                std::size_t{3} * static_cast<std::size_t>(image->width) * static_cast<std::size_t>(image->height));
  return 0;
}
