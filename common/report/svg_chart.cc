// SPDX-License-Identifier: Apache-2.0
#include "common/report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/report/html_text.h"

namespace ferment::report {
namespace {

constexpr double kWidth = 460;

std::string Open(const std::string& title, double height, const char* css_class = "chart") {
  return "<svg class=\"" + std::string(css_class) + "\" viewBox=\"0 0 " + Fixed(kWidth, 0) + " " + Fixed(height, 0) +
         "\" role=\"img\" aria-label=\"" + Escaped(title) + "\">";
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + Fixed(x, 1) + "\" y=\"" + Fixed(y, 1) + "\" text-anchor=\"" + anchor + "\">" + Escaped(text) +
         "</text>";
}

std::string Line(double x1, double y1, double x2, double y2, const char* css_class) {
  return "<line class=\"" + std::string(css_class) + "\" x1=\"" + Fixed(x1, 1) + "\" y1=\"" + Fixed(y1, 1) +
         "\" x2=\"" + Fixed(x2, 1) + "\" y2=\"" + Fixed(y2, 1) + "\"/>";
}

std::string Rect(double x, double y, double width, double height, const std::string& fill) {
  return "<rect x=\"" + Fixed(x, 2) + "\" y=\"" + Fixed(y, 2) + "\" width=\"" + Fixed(width, 2) + "\" height=\"" +
         Fixed(height, 2) + "\" fill=\"" + fill + "\"/>";
}

std::string ClassColour(int label) { return label < 0 ? "var(--none)" : "var(--k" + std::to_string(label % 8) + ")"; }

/// A number as an axis shows it: few digits, whatever its size.
std::string Tick(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1000) return Grouped(value);
  return Fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.01 ? 3 : size >= 0.001 ? 4 : 5);
}

/// Where data lie, and the rectangle they are drawn in.
struct Frame {
  double x0, x1, y0, y1;
  double left = 48, right = kWidth - 8, top = 8, bottom = 168;

  double X(double x) const { return left + (x - x0) / (x1 - x0) * (right - left); }
  double Y(double y) const { return bottom - (y - y0) / (y1 - y0) * (bottom - top); }

  std::string Axes() const {
    std::string svg;
    for (int i = 0; i <= 4; ++i) {
      const double y = y0 + (y1 - y0) * i / 4;
      svg += Line(left, Y(y), right, Y(y), "grid") + Text(left - 6, Y(y) + 4, "end", Tick(y));
    }
    for (int i = 0; i <= 4; ++i) {
      const double x = x0 + (x1 - x0) * i / 4;
      svg += Text(X(x), bottom + 16, i == 0 ? "start" : i == 4 ? "end" : "middle", Tick(x));
    }
    return svg;
  }
};

std::vector<std::pair<double, double>> Thinned(const std::vector<std::pair<double, double>>& points) {
  constexpr std::size_t kMost = 150;
  const std::size_t group = (points.size() + kMost - 1) / kMost;
  if (group <= 1) return points;
  std::vector<std::pair<double, double>> means;
  for (std::size_t begin = 0; begin < points.size(); begin += group) {
    const std::size_t end = std::min(begin + group, points.size());
    std::pair<double, double> sum;
    for (std::size_t i = begin; i < end; ++i) {
      sum.first += points[i].first;
      sum.second += points[i].second;
    }
    const auto count = static_cast<double>(end - begin);
    means.emplace_back(sum.first / count, sum.second / count);
  }
  return means;
}

Frame FrameOf(const std::vector<Series>& series) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Frame frame{.x0 = kInfinity, .x1 = -kInfinity, .y0 = kInfinity, .y1 = -kInfinity};
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      if (!std::isfinite(y)) continue;
      frame.x0 = std::min(frame.x0, x);
      frame.x1 = std::max(frame.x1, x);
      frame.y0 = std::min(frame.y0, y);
      frame.y1 = std::max(frame.y1, y);
    }
  }
  if (frame.x0 > frame.x1) frame = {.x0 = 0, .x1 = 1, .y0 = 0, .y1 = 1};
  if (frame.x0 == frame.x1) frame.x1 = frame.x0 + 1;
  if (frame.y0 > 0 && frame.y0 < 0.6 * frame.y1) frame.y0 = 0;
  if (frame.y0 == frame.y1) frame.y1 = frame.y0 + 1;
  return frame;
}

}  // namespace

std::string LineChart(const std::string& title, const std::vector<Series>& series) {
  std::vector<Series> drawn;
  for (const Series& one : series) drawn.push_back({.name = one.name, .points = Thinned(one.points)});
  const Frame frame = FrameOf(drawn);
  const auto legend_rows = static_cast<double>((drawn.size() + 2) / 3);
  std::string svg = Open(title, frame.bottom + 24 + 18 * legend_rows) + frame.Axes();
  if (frame.y0 < 0 && frame.y1 > 0) svg += Line(frame.left, frame.Y(0), frame.right, frame.Y(0), "zero");
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const std::string colour = "var(--s" + std::to_string(i % 6) + ")";
    svg += "<polyline class=\"curve\" stroke=\"" + colour + "\" points=\"";
    for (const auto& [x, y] : drawn[i].points) {
      if (std::isfinite(y)) svg += Fixed(frame.X(x), 1) + "," + Fixed(frame.Y(y), 1) + " ";
    }
    svg += "\"/>";
    const double x = frame.left + static_cast<double>(i % 3) * (frame.right - frame.left) / 3;
    const double y = frame.bottom + 34 + 18 * static_cast<double>(i / 3);
    svg += Rect(x, y - 8, 14, 4, colour) + Text(x + 20, y, "start", drawn[i].name);
  }
  return svg + "</svg>";
}

std::string ClassBars(const std::string& title, const std::vector<std::string>& classes,
                      const std::vector<double>& counts) {
  constexpr double kTop = 20;
  constexpr double kBottom = 150;
  const double most = counts.empty() ? 1 : std::max(1.0, *std::max_element(counts.begin(), counts.end()));
  const double pitch = kWidth / static_cast<double>(std::max<std::size_t>(1, counts.size()));
  std::string svg = Open(title, kBottom + 24) + Line(0, kBottom, kWidth, kBottom, "grid");
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double x = static_cast<double>(i) * pitch;
    const double height = counts[i] / most * (kBottom - kTop);
    svg += Rect(x + pitch * 0.14, kBottom - height, pitch * 0.72, height, ClassColour(static_cast<int>(i)));
    svg += Text(x + pitch / 2, kBottom - height - 5, "middle", Grouped(counts[i]));
    svg += Text(x + pitch / 2, kBottom + 16, "middle", i < classes.size() ? classes[i].substr(0, 9) : "");
  }
  return svg + "</svg>";
}

std::string ReliabilityDiagram(const std::string& title, const std::vector<ReliabilityBin>& bins) {
  Frame frame{.x0 = 0, .x1 = 1, .y0 = 0, .y1 = 1};
  frame.bottom = 190;
  constexpr double kCountBottom = 262;
  std::string svg =
      Open(title, kCountBottom + 8) + frame.Axes() + Line(frame.X(0), frame.Y(0), frame.X(1), frame.Y(1), "ideal");
  double most = 1;
  for (const ReliabilityBin& bin : bins) most = std::max(most, bin.count);
  const double width = (frame.right - frame.left) / static_cast<double>(std::max<std::size_t>(1, bins.size()));
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const ReliabilityBin& bin = bins[i];
    if (bin.count <= 0) continue;
    const double x = frame.left + static_cast<double>(i) * width + 1;
    if (std::isfinite(bin.accuracy)) {
      svg += Rect(x, frame.Y(bin.accuracy), width - 2, frame.bottom - frame.Y(bin.accuracy), "var(--s0)");
    }
    const double height = bin.count / most * 40;
    svg += Rect(x, kCountBottom - height, width - 2, height, "var(--muted)");
  }
  svg += Text(frame.left - 6, kCountBottom, "end", "faces");
  return svg + "</svg>";
}

std::string ClassStrips(const std::string& title, const std::vector<Strip>& strips, const std::vector<int>& frames) {
  constexpr double kPitch = 30;
  constexpr double kHeight = 14;
  std::string svg = Open(title, kPitch * static_cast<double>(strips.size()) + 18, "strips");
  const double pixel = frames.empty() ? kWidth : kWidth / static_cast<double>(frames.size());
  for (std::size_t row = 0; row < strips.size(); ++row) {
    const std::vector<int>& labels = strips[row].labels;
    const double y = kPitch * static_cast<double>(row) + 13;
    svg += Text(0, y - 2, "start", strips[row].name);
    for (std::size_t begin = 0; begin < labels.size();) {
      std::size_t end = begin;
      while (end < labels.size() && labels[end] == labels[begin]) ++end;
      svg += Rect(static_cast<double>(begin) * pixel, y + 2, static_cast<double>(end - begin) * pixel, kHeight,
                  ClassColour(labels[begin]));
      begin = end;
    }
  }
  const double y = kPitch * static_cast<double>(strips.size()) + 12;
  if (!frames.empty()) {
    svg += Text(0, y, "start", "frame " + std::to_string(frames.front()));
    svg += Text(kWidth, y, "end", std::to_string(frames.back()));
  }
  return svg + "</svg>";
}

}  // namespace ferment::report
