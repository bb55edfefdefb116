// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/video.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <map>
#include <set>
#include <system_error>
#include <tuple>
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

/// How frames of a video are named: filled up to so many digits, and an ending.
using Naming = std::pair<int, std::string>;

Naming NamingOf(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return {static_cast<int>(dot), name.substr(dot)};
}

/// Returns: the naming that most of the files have, on a tie the shorter. Requires: a file.
Naming CommonNaming(Video video, const std::map<std::uint32_t, std::set<std::string>>& by_number) {
  std::map<Naming, std::size_t> fits;
  for (const auto& [number, names] : by_number)
    for (const std::string& name : names) fits[NamingOf(name)] = 0;
  for (auto& [naming, count] : fits) {
    std::tie(video.digits, video.ending) = naming;
    for (const auto& [number, names] : by_number) count += names.count(video.FramePath(number).filename().string());
  }
  return std::max_element(fits.begin(), fits.end(), [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

}  // namespace

std::uint64_t ReadFrames(const std::filesystem::path& folder, Video& video) {
  video.folder = folder;
  std::uint64_t files = 0;
  std::map<std::uint32_t, std::set<std::string>> by_number;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    ++files;
    if (const auto number = FrameNumber(entry->path())) by_number[*number].insert(entry->path().filename().string());
  }
  video.frames_with_image.clear();
  if (by_number.empty()) return files;
  std::tie(video.digits, video.ending) = CommonNaming(video, by_number);
  for (const auto& [number, names] : by_number) {
    if (names.contains(video.FramePath(number).filename().string())) video.frames_with_image.push_back(number);
  }
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
