// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/contact_sheet.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"

namespace ferment::dataset {
namespace {

constexpr int kGlyphWidth = 5, kGlyphHeight = 7, kGap = 4, kMargin = 3;
/// A cell of so many pixels has captions of one pixel a dot; one of twice as many, of two.
constexpr int kCellPerDot = 96;
constexpr std::uint8_t kInk = 40, kBlank = 224;
constexpr std::string_view kGlyphNames = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_./:";
/// Five columns from the left, the top row in the lowest bit.
constexpr std::array<std::array<std::uint8_t, kGlyphWidth>, 41> kGlyphs = {
    {{0x3E, 0x51, 0x49, 0x45, 0x3E}, {0x00, 0x42, 0x7F, 0x40, 0x00}, {0x72, 0x49, 0x49, 0x49, 0x46},
     {0x21, 0x41, 0x49, 0x4D, 0x33}, {0x18, 0x14, 0x12, 0x7F, 0x10}, {0x27, 0x45, 0x45, 0x45, 0x39},
     {0x3C, 0x4A, 0x49, 0x49, 0x31}, {0x41, 0x21, 0x11, 0x09, 0x07}, {0x36, 0x49, 0x49, 0x49, 0x36},
     {0x46, 0x49, 0x49, 0x29, 0x1E}, {0x7C, 0x12, 0x11, 0x12, 0x7C}, {0x7F, 0x49, 0x49, 0x49, 0x36},
     {0x3E, 0x41, 0x41, 0x41, 0x22}, {0x7F, 0x41, 0x41, 0x41, 0x3E}, {0x7F, 0x49, 0x49, 0x49, 0x41},
     {0x7F, 0x09, 0x09, 0x09, 0x01}, {0x3E, 0x41, 0x41, 0x51, 0x73}, {0x7F, 0x08, 0x08, 0x08, 0x7F},
     {0x00, 0x41, 0x7F, 0x41, 0x00}, {0x20, 0x40, 0x41, 0x3F, 0x01}, {0x7F, 0x08, 0x14, 0x22, 0x41},
     {0x7F, 0x40, 0x40, 0x40, 0x40}, {0x7F, 0x02, 0x1C, 0x02, 0x7F}, {0x7F, 0x04, 0x08, 0x10, 0x7F},
     {0x3E, 0x41, 0x41, 0x41, 0x3E}, {0x7F, 0x09, 0x09, 0x09, 0x06}, {0x3E, 0x41, 0x51, 0x21, 0x5E},
     {0x7F, 0x09, 0x19, 0x29, 0x46}, {0x26, 0x49, 0x49, 0x49, 0x32}, {0x03, 0x01, 0x7F, 0x01, 0x03},
     {0x3F, 0x40, 0x40, 0x40, 0x3F}, {0x1F, 0x20, 0x40, 0x20, 0x1F}, {0x3F, 0x40, 0x38, 0x40, 0x3F},
     {0x63, 0x14, 0x08, 0x14, 0x63}, {0x03, 0x04, 0x78, 0x04, 0x03}, {0x61, 0x59, 0x49, 0x4D, 0x43},
     {0x08, 0x08, 0x08, 0x08, 0x08}, {0x40, 0x40, 0x40, 0x40, 0x40}, {0x00, 0x60, 0x60, 0x00, 0x00},
     {0x20, 0x10, 0x08, 0x04, 0x02}, {0x00, 0x00, 0x36, 0x36, 0x00}}};

int CaptionZoom(const ContactSheetLayout& layout) { return std::max(1, layout.cell_pixels / kCellPerDot); }

struct Patch {
  int width;
  int height;
  std::uint8_t level;
};

void FillBox(Image& page, int left, int top, const Patch& patch) {
  for (int y = std::max(0, top); y < std::min(page.height, top + patch.height); ++y)
    for (int x = std::max(0, left); x < std::min(page.width, left + patch.width); ++x)
      std::fill_n(page.rgb.begin() + (static_cast<std::ptrdiff_t>(y) * page.width + x) * 3, 3, patch.level);
}

void DrawCaption(const std::string& caption, Box area, int zoom, Image& page) {
  const int advance = (kGlyphWidth + 1) * zoom;
  const auto fitting = static_cast<std::size_t>((area.right - area.left + zoom) / advance);
  for (std::size_t i = 0; i < std::min(caption.size(), fitting); ++i) {
    const char upper = static_cast<char>(std::toupper(static_cast<unsigned char>(caption[i])));
    const std::size_t glyph = kGlyphNames.find(upper);
    if (glyph == std::string_view::npos) continue;
    const int left = area.left + static_cast<int>(i) * advance;
    for (int column = 0; column < kGlyphWidth; ++column)
      for (int row = 0; row < kGlyphHeight; ++row)
        if (kGlyphs[glyph][static_cast<std::size_t>(column)] >> row & 1)
          FillBox(page, left + column * zoom, area.top + row * zoom, {zoom, zoom, kInk});
  }
}

/// Each pixel is the mean of the source pixels under it, or the nearest one when it enlarges.
void DrawScaled(const Image& image, int left, int top, int cell, Image& page) {
  const double scale = static_cast<double>(std::max(image.width, image.height)) / cell;
  const int width = std::max(1, static_cast<int>(image.width / scale));
  const int height = std::max(1, static_cast<int>(image.height / scale));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int x0 = std::min(image.width - 1, static_cast<int>(x * scale));
      const int y0 = std::min(image.height - 1, static_cast<int>(y * scale));
      const int x1 = std::clamp(static_cast<int>((x + 1) * scale), x0 + 1, image.width);
      const int y1 = std::clamp(static_cast<int>((y + 1) * scale), y0 + 1, image.height);
      std::array<int, 3> sum{};
      for (int sy = y0; sy < y1; ++sy)
        for (int sx = x0; sx < x1; ++sx)
          for (std::size_t c = 0; c < 3; ++c)
            sum[c] += image.rgb[static_cast<std::size_t>(sy * image.width + sx) * 3 + c];
      for (std::size_t c = 0; c < 3; ++c)
        page.rgb[static_cast<std::size_t>((top + y) * page.width + left + x) * 3 + c] =
            static_cast<std::uint8_t>(sum[c] / ((x1 - x0) * (y1 - y0)));
    }
}

}  // namespace

Image ComposeContactSheet(std::span<const CaptionedImage> images, const ContactSheetLayout& layout) {
  FERMENT_CHECK(layout.columns >= 1 && layout.cell_pixels >= 16);
  const int count = static_cast<int>(images.size());
  const int rows = std::max(1, (count + layout.columns - 1) / layout.columns);
  const int zoom = CaptionZoom(layout);
  const int cell = layout.cell_pixels;
  const int step_x = cell + kGap;
  const int step_y = cell + kMargin + kGlyphHeight * zoom + 2 * kGap;
  Image page;
  page.width = layout.columns * step_x + kGap;
  page.height = rows * step_y + kGap;
  page.rgb.assign(static_cast<std::size_t>(page.width * page.height) * 3, 255);
  for (int i = 0; i < count; ++i) {
    const CaptionedImage& item = images[static_cast<std::size_t>(i)];
    const int left = kGap + i % layout.columns * step_x;
    const int top = kGap + i / layout.columns * step_y;
    if (item.image.width > 0 && item.image.height > 0) {
      DrawScaled(item.image, left, top, cell, page);
    } else {
      FillBox(page, left, top, {cell, cell, kBlank});
    }
    DrawCaption(item.caption, {left, top + cell + kMargin, left + cell, page.height}, zoom, page);
  }
  return page;
}

}  // namespace ferment::dataset
