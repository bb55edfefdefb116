// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/contact_sheet.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"

namespace ferment::dataset {
namespace {

constexpr int kGlyphWidth = 3, kGlyphHeight = 5, kZoom = 2, kCaptionPixels = 16, kGap = 4;
constexpr std::string_view kGlyphNames = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_./:";
/// Five rows of three pixels each, the top row in the highest bits.
constexpr std::array<std::uint16_t, 41> kGlyphs = {
    075557, 026227, 071747, 071717, 055711, 074717, 074757, 071122, 075757, 075717, 025755, 065656, 034443, 065556,
    074647, 074644, 034553, 055755, 072227, 011152, 055655, 044447, 057755, 065555, 025552, 065644, 025563, 065655,
    034216, 072222, 055557, 055552, 055775, 055255, 055222, 071247, 000700, 000007, 000002, 011244, 002020};

void FillBox(Image& page, int left, int top, int width, int height, std::uint8_t level) {
  for (int y = std::max(0, top); y < std::min(page.height, top + height); ++y)
    for (int x = std::max(0, left); x < std::min(page.width, left + width); ++x)
      std::fill_n(page.rgb.begin() + (static_cast<std::ptrdiff_t>(y) * page.width + x) * 3, 3, level);
}

void DrawCaption(const std::string& caption, int left, int top, int width, Image& page) {
  const int advance = (kGlyphWidth + 1) * kZoom;
  for (std::size_t i = 0; i < caption.size() && static_cast<int>(i + 1) * advance <= width; ++i) {
    const char upper = static_cast<char>(std::toupper(static_cast<unsigned char>(caption[i])));
    const std::size_t glyph = kGlyphNames.find(upper);
    if (glyph == std::string_view::npos) continue;
    for (int bit = 0; bit < kGlyphWidth * kGlyphHeight; ++bit)
      if (kGlyphs[glyph] >> (kGlyphWidth * kGlyphHeight - 1 - bit) & 1)
        FillBox(page, left + static_cast<int>(i) * advance + bit % kGlyphWidth * kZoom, top + bit / kGlyphWidth * kZoom,
                kZoom, kZoom, 40);
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
  const int step_x = layout.cell_pixels + kGap;
  const int step_y = layout.cell_pixels + kCaptionPixels + kGap;
  Image page;
  page.width = layout.columns * step_x + kGap;
  page.height = rows * step_y + kGap;
  page.rgb.assign(static_cast<std::size_t>(page.width * page.height) * 3, 255);
  for (int i = 0; i < count; ++i) {
    const CaptionedImage& item = images[static_cast<std::size_t>(i)];
    const int left = kGap + i % layout.columns * step_x;
    const int top = kGap + i / layout.columns * step_y;
    if (item.image.width > 0 && item.image.height > 0) DrawScaled(item.image, left, top, layout.cell_pixels, page);
    DrawCaption(item.caption, left, top + layout.cell_pixels + 3, layout.cell_pixels, page);
  }
  return page;
}

}  // namespace ferment::dataset
