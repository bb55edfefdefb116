// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/contact_sheet.h"

#include <gtest/gtest.h>

#include "common/dataset/pictures/jpeg_decoder.h"
#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/png_decoder.h"
#include "common/dataset/pictures/png_writer.h"

namespace ferment::dataset {
namespace {

Image Plain(int width, int height, std::uint8_t level) {
  Image image;
  image.width = width;
  image.height = height;
  image.rgb.assign(static_cast<std::size_t>(width * height * 3), level);
  return image;
}

TEST(ContactSheet, PutsPicturesInRowsAndKeepsTheirShape) {
  const std::vector<CaptionedImage> images = {{Plain(40, 20, 0), ""}, {Plain(8, 8, 0), "A"}, {{}, "damaged"}};
  const Image page = ComposeContactSheet(images, {.columns = 2, .cell_pixels = 20});
  EXPECT_EQ(page.width, 2 * 24 + 4);
  EXPECT_EQ(page.height, 2 * 38 + 4);
  const auto at = [&page](int x, int y) { return page.rgb[static_cast<std::size_t>((y * page.width + x) * 3)]; };
  EXPECT_EQ(at(4, 4), 0);
  EXPECT_EQ(at(4, 15), 255) << "a wide picture leaves the lower half of its cell free";
  EXPECT_EQ(at(28, 4), 0);
  EXPECT_EQ(at(47, 23), 0) << "a small picture fills its cell";
  EXPECT_EQ(at(4, 42), 224) << "a picture that cannot be shown leaves a grey cell";
}

TEST(ContactSheet, ACaptionHasSixteenLettersInTheUsualCellAndStaysInsideItsCell) {
  const auto inked = [](const std::string& caption, int from, int to) {
    const std::vector<CaptionedImage> one = {{Plain(8, 8, 255), caption}};
    const Image page = ComposeContactSheet(one, {.columns = 2, .cell_pixels = 96});
    for (int y = 0; y < page.height; ++y)
      for (int x = from; x < to; ++x)
        if (page.rgb[static_cast<std::size_t>((y * page.width + x) * 3)] < 255) return true;
    return false;
  };
  EXPECT_TRUE(inked(std::string(15, ' ') + "8", 4 + 15 * 6, 4 + 96));
  EXPECT_FALSE(inked(std::string(30, '8'), 4 + 96, 204));
}

TEST(PngWriter, IsReadBackBitForBit) {
  Image image = Plain(5, 3, 7);
  image.rgb[4] = 200;
  const auto read = DecodePng(EncodePng(image));
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->rgb, image.rgb);
}

TEST(JpegEncoder, IsReadBackNearly) {
  const auto jpeg = EncodeJpeg(Plain(33, 17, 100), 95);
  ASSERT_TRUE(jpeg);
  const auto read = DecodeJpeg(*jpeg);
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->width, 33);
  EXPECT_NEAR(read->rgb[0], 100, 3);
  EXPECT_FALSE(EncodeJpeg(Image{}));
}

}  // namespace
}  // namespace ferment::dataset
