// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/synthetic/face_canvas.h"

#include <algorithm>
#include <cmath>

namespace ferment::dataset {
namespace {

constexpr int kScanLines = 4;

/// Adds the horizontal span [from, to) of one scan line to a row of coverage.
void AddSpan(float from, float to, std::span<float> row, float weight) {
  const float width = static_cast<float>(row.size());
  from = std::clamp(from, 0.0F, width);
  to = std::clamp(to, 0.0F, width);
  const auto first = static_cast<std::size_t>(from);
  const auto last = static_cast<std::size_t>(to);
  if (first == last) {
    if (first < row.size()) row[first] += (to - from) * weight;
    return;
  }
  row[first] += (static_cast<float>(first + 1) - from) * weight;
  for (std::size_t x = first + 1; x < last; ++x) row[x] += weight;
  if (last < row.size()) row[last] += (to - static_cast<float>(last)) * weight;
}

}  // namespace

Colour Mix(const Colour& a, const Colour& b, float t) {
  return {a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t};
}

FaceCanvas::FaceCanvas(int size) : size_(size), rgb_(static_cast<std::size_t>(size * size * 3)) {}

Coverage FaceCanvas::EmptyBox(float left, float top, float right, float bottom) const {
  const auto limit = static_cast<float>(size_);
  Coverage box;
  box.left = static_cast<int>(std::clamp(std::floor(left), 0.0F, limit));
  box.top = static_cast<int>(std::clamp(std::floor(top), 0.0F, limit));
  box.right = std::max(box.left, static_cast<int>(std::clamp(std::ceil(right), 0.0F, limit)));
  box.bottom = std::max(box.top, static_cast<int>(std::clamp(std::ceil(bottom), 0.0F, limit)));
  box.share.assign(static_cast<std::size_t>((box.right - box.left) * (box.bottom - box.top)), 0.0F);
  return box;
}

Coverage FaceCanvas::Outline(std::span<const Point> points) const {
  const auto [left, right] =
      std::minmax_element(points.begin(), points.end(), [](Point a, Point b) { return a.x < b.x; });
  const auto [top, bottom] =
      std::minmax_element(points.begin(), points.end(), [](Point a, Point b) { return a.y < b.y; });
  Coverage shape = EmptyBox(left->x, top->y, right->x + 1, bottom->y + 1);
  const int width = shape.right - shape.left;
  if (width == 0) return shape;
  std::vector<float> crossings;
  for (int y = shape.top; y < shape.bottom; ++y) {
    const std::span<float> row(&shape.share[static_cast<std::size_t>((y - shape.top) * width)],
                               static_cast<std::size_t>(width));
    for (int line = 0; line < kScanLines; ++line) {
      const float level = static_cast<float>(y) + (static_cast<float>(line) + 0.5F) / kScanLines;
      crossings.clear();
      for (std::size_t i = 0; i < points.size(); ++i) {
        const Point a = points[i];
        const Point b = points[(i + 1) % points.size()];
        if ((a.y <= level) == (b.y <= level)) continue;
        crossings.push_back(a.x + (b.x - a.x) * (level - a.y) / (b.y - a.y) - static_cast<float>(shape.left));
      }
      std::sort(crossings.begin(), crossings.end());
      for (std::size_t i = 0; i + 1 < crossings.size(); i += 2)
        AddSpan(crossings[i], crossings[i + 1], row, 1.0F / kScanLines);
    }
  }
  return shape;
}

Coverage FaceCanvas::Stroke(std::span<const Point> points, float begin_width, float end_width) const {
  const float reach = std::max(begin_width, end_width) / 2 + 1;
  float left = points[0].x, right = left, top = points[0].y, bottom = top;
  for (const Point p : points) {
    left = std::min(left, p.x);
    right = std::max(right, p.x);
    top = std::min(top, p.y);
    bottom = std::max(bottom, p.y);
  }
  Coverage shape = EmptyBox(left - reach, top - reach, right + reach, bottom + reach);
  std::size_t at = 0;
  const auto segments = static_cast<float>(points.size() - 1);
  for (int y = shape.top; y < shape.bottom; ++y) {
    for (int x = shape.left; x < shape.right; ++x, ++at) {
      const Point p{static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F};
      float best = 0;
      for (std::size_t i = 0; i + 1 < points.size(); ++i) {
        const Point a = points[i];
        const Point d{points[i + 1].x - a.x, points[i + 1].y - a.y};
        const float length = std::max(d.x * d.x + d.y * d.y, 1e-6F);
        const float t = std::clamp(((p.x - a.x) * d.x + (p.y - a.y) * d.y) / length, 0.0F, 1.0F);
        const float distance = std::hypot(p.x - a.x - t * d.x, p.y - a.y - t * d.y);
        const float half = (begin_width + (end_width - begin_width) * (static_cast<float>(i) + t) / segments) / 2;
        best = std::max(best, std::clamp(half - distance + 0.5F, 0.0F, std::min(1.0F, 2 * half)));
      }
      shape.share[at] = best;
    }
  }
  return shape;
}

Coverage FaceCanvas::Disc(Point centre, float radius) const {
  Coverage shape = EmptyBox(centre.x - radius - 1, centre.y - radius - 1, centre.x + radius + 1, centre.y + radius + 1);
  std::size_t at = 0;
  for (int y = shape.top; y < shape.bottom; ++y)
    for (int x = shape.left; x < shape.right; ++x, ++at) {
      const float distance =
          std::hypot(static_cast<float>(x) + 0.5F - centre.x, static_cast<float>(y) + 0.5F - centre.y);
      shape.share[at] = std::clamp(radius - distance + 0.5F, 0.0F, 1.0F);
    }
  return shape;
}

void FaceCanvas::Paint(const Coverage& shape, const Colour& colour, float opacity, const Coverage* clip) {
  std::size_t at = 0;
  for (int y = shape.top; y < shape.bottom; ++y)
    for (int x = shape.left; x < shape.right; ++x, ++at) {
      float share = std::min(shape.share[at], 1.0F) * opacity;
      if (clip != nullptr) share *= clip->At(x, y);
      if (share <= 0) continue;
      float* const target = pixel(x, y);
      for (std::size_t c = 0; c < 3; ++c) target[c] += (colour[c] - target[c]) * share;
    }
}

void FaceCanvas::Blur(float amount) {
  if (amount <= 0) return;
  const std::size_t row = static_cast<std::size_t>(size_) * 3;
  const auto pass = [&](std::size_t step, std::size_t from, std::size_t to) {
    const std::vector<float> before = rgb_;
    for (std::size_t i = from; i < to; ++i)
      rgb_[i] += amount * ((before[i - step] + before[i + step]) * 0.25F - before[i] * 0.5F);
  };
  pass(3, 3, rgb_.size() - 3);
  pass(row, row, rgb_.size() - row);
}

Image FaceCanvas::ToImage() const {
  Image image;
  image.width = image.height = size_;
  image.rgb.resize(rgb_.size());
  for (std::size_t i = 0; i < rgb_.size(); ++i)
    image.rgb[i] = static_cast<std::uint8_t>(std::clamp(rgb_[i], 0.0F, 1.0F) * 255.0F + 0.5F);
  return image;
}

}  // namespace ferment::dataset
