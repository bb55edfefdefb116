// SPDX-License-Identifier: Apache-2.0
#include "common/report/evaluation_tables.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string>
#include <utility>

namespace ferment::report {
namespace {

constexpr std::size_t kMostFrames = 600;

/// Returns: the next line without its end; `text` begins after it.
std::string_view TakeLine(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Returns: the last `count` fields, since only the first one, a path or a name, may hold a comma itself.
std::vector<std::string_view> LastFields(std::string_view line, std::size_t count) {
  std::vector<std::string_view> fields(count);
  for (std::size_t i = count; i > 0; --i) {
    const std::size_t comma = line.rfind(',');
    if (comma == std::string_view::npos) return {};
    fields[i - 1] = line.substr(comma + 1);
    line = line.substr(0, comma);
  }
  return fields;
}

template <typename Number>
bool Parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

int Changes(const std::vector<int>& labels) {
  int changes = 0;
  for (std::size_t i = 1; i < labels.size(); ++i) changes += labels[i] != labels[i - 1] && labels[i] >= 0 ? 1 : 0;
  return changes;
}

}  // namespace

std::optional<Timeline> TimelineOf(std::string_view video_csv) {
  constexpr std::size_t kNumbers = 5;  // frame, label, prediction_static, prediction_temporal, prediction
  TakeLine(video_csv);
  std::map<std::string, Timeline, std::less<>> videos;
  while (!video_csv.empty()) {
    const std::string_view line = TakeLine(video_csv);
    const std::vector<std::string_view> fields = LastFields(line, kNumbers);
    if (fields.empty()) continue;
    int numbers[kNumbers];
    bool whole = true;
    for (std::size_t i = 0; i < kNumbers; ++i) whole = Parse(fields[i], numbers[i]) && whole;
    if (!whole) continue;
    const std::string name(line.substr(0, static_cast<std::size_t>(fields[0].data() - line.data()) - 1));
    Timeline& video = videos[name];
    video.video = name;
    if (video.frames.size() == kMostFrames) continue;
    video.frames.push_back(numbers[0]);
    video.truth.push_back(numbers[1]);
    video.without_encoder.push_back(numbers[2]);
    video.with_encoder.push_back(numbers[3]);
    video.smoothed.push_back(numbers[4]);
  }
  const auto best = std::max_element(videos.begin(), videos.end(), [](const auto& a, const auto& b) {
    return Changes(a.second.truth) < Changes(b.second.truth);
  });
  if (best == videos.end()) return std::nullopt;
  return best->second;
}

std::vector<ReliabilityBin> ReliabilityOf(std::string_view static_csv) {
  constexpr std::size_t kBins = 15;
  const std::string_view header = TakeLine(static_csv);
  const auto columns = static_cast<std::size_t>(std::count(header.begin(), header.end(), ','));
  std::vector<ReliabilityBin> bins;
  while (!static_csv.empty() && columns > 2) {
    const std::vector<std::string_view> fields = LastFields(TakeLine(static_csv), columns);
    int label = 0;
    std::size_t prediction = 0;
    double confidence = 0;
    if (fields.empty() || !Parse(fields[0], label) || !Parse(fields[1], prediction)) continue;
    if (prediction >= columns - 2 || !Parse(fields[prediction + 2], confidence)) continue;
    if (!std::isfinite(confidence)) continue;
    bins.resize(kBins);
    const auto place = static_cast<std::size_t>(std::clamp(confidence * kBins - 1e-9, 0.0, kBins - 1.0));
    bins[place].count += 1;
    bins[place].confidence += confidence;
    bins[place].accuracy += label == static_cast<int>(prediction) ? 1 : 0;
  }
  for (ReliabilityBin& bin : bins) {
    if (bin.count <= 0) continue;
    bin.confidence /= bin.count;
    bin.accuracy /= bin.count;
  }
  return bins;
}

}  // namespace ferment::report
