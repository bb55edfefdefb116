// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/jpeg_decoder.h"

#include <gtest/gtest.h>

#include "common/base/json.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/pictures/png_decoder.h"
#include "common/dataset/records/record_source.h"
#include "common/io/checksum.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

std::span<const std::byte> View(const Bytes& bytes) { return std::as_bytes(std::span(bytes)); }

std::string Reason(const Bytes& bytes) {
  const auto image = DecodeJpeg(View(bytes));
  return image ? "" : DamageReason(image.error());
}

TEST(JpegDecoder, DecodesBitForBitAsPillowDoes) {
  const auto expected = ParseJson(Fixture("jpeg/expected.json"));
  ASSERT_EQ(expected->size(), 12U);
  for (const auto& [name, entry] : expected->items()) {
    SCOPED_TRACE(name);
    const Bytes bytes = Fixture("jpeg/" + name);
    if (entry["outcome"] == "refuse") {
      EXPECT_EQ(Reason(bytes), entry["reason"].get<std::string>());
      continue;
    }
    const auto image = DecodeJpeg(View(bytes));
    ASSERT_TRUE(image.has_value()) << image.error().ToString();
    EXPECT_EQ(image->width, entry["width"].get<int>());
    EXPECT_EQ(image->height, entry["height"].get<int>());
    EXPECT_EQ(io::Sha256Hex(std::as_bytes(std::span(image->rgb))), entry["sha256_rgb"].get<std::string>());
  }
}

TEST(JpegDecoder, EveryCutIsRefusedWithAReason) {
  for (const char* name : {"jpeg/rgb.jpg", "jpeg/progressive.jpg"}) {
    const Bytes whole = Fixture(name);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string reason = Reason(whole.substr(0, size));
      if (size == 0) {
        EXPECT_EQ(reason, "jpeg-empty");
      } else if (size < 2) {
        EXPECT_EQ(reason, "not-a-jpeg");
      } else {
        EXPECT_TRUE(reason == "jpeg-truncated" || reason == "jpeg-broken") << size << reason;
      }
    }
  }
}

TEST(JpegDecoder, AHugePictureIsRefusedFromItsHeader) {
  Bytes bytes = Fixture("jpeg/rgb.jpg");
  const std::size_t frame = bytes.find("\xFF\xC0");
  ASSERT_NE(frame, Bytes::npos);
  bytes.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");
  EXPECT_EQ(Reason(bytes), "jpeg-huge");
}

TEST(JpegDecoder, NoFlippedByteCrashesIt) {
  for (const char* name : {"jpeg/progressive.jpg", "jpeg/exif_6.jpg"}) {
    const Bytes whole = Fixture(name);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      Bytes damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0xFF);
      const auto image = DecodeJpeg(View(damaged));
      if (!image) continue;
      EXPECT_EQ(image->rgb.size(),
                3U * static_cast<std::size_t>(image->width) * static_cast<std::size_t>(image->height));
    }
  }
}

TEST(PngDecoder, DecodesAsPillowDoesAndRefusesOtherKinds) {
  const auto expected = ParseJson(Fixture("png/expected.json"));
  for (const auto& [name, entry] : expected->items()) {
    SCOPED_TRACE(name);
    const Bytes bytes = Fixture("png/" + name);
    const auto image = DecodePng(View(bytes));
    ASSERT_EQ(image.has_value(), entry["outcome"] == "ok");
    if (image) {
      EXPECT_EQ(io::Sha256Hex(std::as_bytes(std::span(image->rgb))), entry["sha256_rgb"].get<std::string>());
    } else {
      EXPECT_EQ(DamageReason(image.error()), entry["reason"].get<std::string>());
    }
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(DecodePng(View(bytes).first(size)).has_value());
  }
}

TEST(PictureDecoder, TellsJpegFromPngByTheBytesWhateverTheNameSays) {
  const auto folder = FreshFolder("pictures");
  WriteText(folder / "png.jpg", Fixture("png/rgb.png"));
  WriteText(folder / "jpeg.png", Fixture("jpeg/rgb.jpg"));
  WriteText(folder / "text.jpg", "text");
  WriteText(folder / "empty.png", "");
  EXPECT_EQ(DecodePictureFile(folder / "png.jpg")->rgb, DecodePng(View(Fixture("png/rgb.png")))->rgb);
  EXPECT_EQ(DecodePictureFile(folder / "jpeg.png")->rgb, DecodeJpeg(View(Fixture("jpeg/rgb.jpg")))->rgb);
  const auto text = DecodePictureFile(folder / "text.jpg");
  EXPECT_EQ(DamageReason(text.error()), "not-a-jpeg");
  EXPECT_EQ(DamageReason(DecodePictureFile(folder / "empty.png").error()), "jpeg-empty");
  EXPECT_EQ(DecodePictureFile(folder / "none.png").error().code(), StatusCode::kNotFound);
}

TEST(PictureDecoder, NamesNoFileInItsErrors) {
  const auto folder = FreshFolder("ann-canaria");
  WriteText(folder / "text.jpg", "text");
  for (const char* name : {"text.jpg", "none.jpg", ""}) {
    const std::string message(DecodePictureFile(folder / name).error().message());
    EXPECT_NE(message, "");
    EXPECT_EQ(message.find("ann-canaria"), std::string::npos) << message;
  }
}

TEST(PictureDecoder, ListsPicturesByTheirExtensionInAnyCase) {
  for (const char* name : {"a.jpg", "b/a.JPEG", "a.Png"}) EXPECT_TRUE(HasPictureName(name)) << name;
  for (const char* name : {".jpg", ".a.jpg", "a.jpg.txt", "jpg", "a.gif"}) EXPECT_FALSE(HasPictureName(name)) << name;
}

}  // namespace
}  // namespace ferment::dataset
