// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>
#include <cstdio>
#include <map>
#include <system_error>
#include <utility>

#include "common/dataset/pictures/picture_decoder.h"

namespace ferment::dataset {

std::optional<std::uint32_t> FrameNumber(const std::filesystem::path& picture) {
  if (!HasPictureName(picture)) return std::nullopt;
  const std::string stem = picture.stem().string();
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  if (error != std::errc() || end != stem.data() + stem.size() || number == 0 || number > kMostFrames)
    return std::nullopt;
  return number;
}

std::string_view VideoSetName(VideoSet set) {
  if (set == VideoSet::kTrain) return "train";
  return set == VideoSet::kValidation ? "validation" : "test";
}

int Video::LabelAt(std::uint32_t frame) const { return frame >= 1 && frame <= labels.size() ? labels[frame - 1] : -1; }

std::filesystem::path Video::FramePath(std::uint32_t frame) const {
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%0*u", digits, frame);
  return folder / (number.data() + ending);
}

std::uint32_t Video::LastFrame() const {
  const std::uint32_t last = frames_with_image.empty() ? 0 : frames_with_image.back();
  return std::max({last, static_cast<std::uint32_t>(labels.size()), listed_frames});
}

namespace {

/// How a frame's file is named.
struct Naming {
  std::size_t digits;
  /// The first digit is a zero: more digits than the number needs.
  bool filled;
  std::string ending;

  auto operator<=>(const Naming&) const = default;
  /// Returns: whether files named so are what numbers filled up to `other`'s digits look like.
  bool Fits(const Naming& other) const {
    return ending == other.ending && (digits == other.digits || (digits > other.digits && !filled));
  }
};

/// Returns: the numbers of all files that fit.
std::vector<std::uint32_t> Fitting(const std::map<Naming, std::vector<std::uint32_t>>& files, const Naming& naming) {
  std::vector<std::uint32_t> numbers;
  for (const auto& [one, its] : files) {
    if (one.Fits(naming)) numbers.insert(numbers.end(), its.begin(), its.end());
  }
  return numbers;
}

}  // namespace

std::uint64_t ReadFrames(const std::filesystem::path& folder, Video& video) {
  video.folder = folder;
  video.frames_with_image.clear();
  std::uint64_t files = 0;
  std::map<Naming, std::vector<std::uint32_t>> by_naming;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    ++files;
    const auto number = FrameNumber(entry->path());
    if (!number) continue;
    const std::string name = entry->path().filename().string();
    const std::size_t dot = name.rfind('.');
    by_naming[{dot, name.front() == '0', name.substr(dot)}].push_back(*number);
  }
  for (const auto& [naming, its] : by_naming) {
    std::vector<std::uint32_t> numbers = Fitting(by_naming, naming);
    if (numbers.size() <= video.frames_with_image.size()) continue;
    video.digits = static_cast<int>(naming.digits);
    video.ending = naming.ending;
    video.frames_with_image = std::move(numbers);
  }
  std::sort(video.frames_with_image.begin(), video.frames_with_image.end());
  return files - video.frames_with_image.size();
}

void NoteGaps(Video& video) {
  const std::uint32_t last = video.frames_with_image.empty() ? 0 : video.frames_with_image.back();
  const std::size_t lines = video.labels.size();
  if (last > video.frames_with_image.size())
    video.oddities.push_back(std::to_string(last - video.frames_with_image.size()) + " frames without a picture");
  if (video.set == VideoSet::kTest || lines == 0) return;
  if (lines > last) video.oddities.push_back(std::to_string(lines - last) + " label lines past the last picture");
  if (lines < last) video.oddities.push_back(std::to_string(last - lines) + " frames past the last label line");
}

}  // namespace ferment::dataset
