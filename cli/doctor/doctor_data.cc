// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor_data.h"

#include <algorithm>
#include <functional>
#include <memory>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/insightface_source.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/videos/video_list.h"

namespace ferment::cli {
namespace {

constexpr std::uint64_t kSample = 100;

const std::string kScan = "what is in the folder, and what of it is damaged: ferment data scan ";

/// Reads `kSample` of `size` pictures, the first and the last among them. `what` they are and the damage that a run
/// bears decide what is said.
Finding Sampled(const std::string& check, std::uint64_t size, const std::string& what, double max_damage,
                const std::string& fix, const std::function<Status(std::uint64_t index)>& read) {
  const std::uint64_t sample = std::min(size, kSample);
  std::uint64_t damaged = 0;
  std::string first;
  for (std::uint64_t i = 0; i < sample; ++i) {
    const Status status = read(sample == 1 ? 0 : i * (size - 1) / (sample - 1));
    if (status.ok()) continue;
    if (damaged == 0) first = status.message();
    ++damaged;
  }
  std::string found = std::to_string(size) + " " + what + ", " + std::to_string(sample) + " decoded";
  if (damaged > 0) found += ", " + std::to_string(damaged) + " of these damaged, the first: " + first;
  const bool good = size > 0 && static_cast<double>(damaged) <= max_damage * static_cast<double>(sample);
  return {check, good, found, fix};
}

template <typename T>
Status StatusOf(const Result<T>& result) {
  return result ? Status() : result.error();
}

/// Who looks at their own data is told which file it is; logs are not.
Status Named(const Result<dataset::Image>& image, const std::filesystem::path& file) {
  if (image) return {};
  return Status(image.error().code(), std::string(image.error().message()) + ": file=" + file.string());
}

std::string Listed(const std::vector<std::string>& oddities) {
  std::string text;
  for (const std::string& oddity : oddities) text += "; note: " + oddity;
  return text;
}

Finding Failed(const std::string& check, const Status& status, const std::string& fix) {
  return {check, false, std::string(status.message()), fix};
}

}  // namespace

Finding CheckFaces(const RunSpec& spec, dataset::FaceSplit split) {
  const std::string check = split == dataset::FaceSplit::kTrain ? "data.fer" : "data.fer val";
  const std::string fix = kScan + spec.data().fer(0).path();
  const auto list = dataset::LoadFaces(spec, split);
  if (!list) return Failed(check, list.error(), fix);
  Finding finding =
      Sampled(check, list->faces.size(), "faces", spec.labeling().max_damage(), fix,
              [&](std::uint64_t i) { return Named(dataset::ReadFace(list->faces[i]), list->faces[i].file); });
  finding.found += Listed(list->oddities);
  return finding;
}

Finding CheckRecords(const RunSpec& spec) {
  const std::string fix = kScan + spec.data().fr().path();
  const auto source = dataset::OpenFr(spec);
  if (!source) return Failed("data.fr", source.error(), fix);
  const dataset::RecordSource& records = **source;
  Finding finding =
      Sampled("data.fr", records.size(), "records", spec.labeling().max_damage(), fix, [&](std::uint64_t i) -> Status {
        FERMENT_ASSIGN_OR_RETURN(const dataset::EncodedRecord record, records.Read(i));
        return StatusOf(dataset::DecodePicture(record.image));
      });
  if (const auto* pack = dynamic_cast<const dataset::InsightfaceSource*>(&records)) {
    finding.found += Listed(pack->facts().oddities);
  }
  return finding;
}

Finding CheckFrames(const RunSpec& spec) {
  const std::string fix = kScan + spec.data().videos().path();
  const auto videos = dataset::LoadVideos(spec);
  if (!videos) return Failed("data.videos", videos.error(), fix);
  std::vector<std::filesystem::path> frames;
  for (const dataset::Video& video : *videos) {
    for (const std::uint32_t frame : video.frames_with_image) frames.push_back(video.FramePath(frame));
  }
  return Sampled("data.videos", frames.size(), "frames of " + std::to_string(videos->size()) + " videos",
                 spec.labeling().max_damage(), fix,
                 [&](std::uint64_t i) { return Named(dataset::DecodePictureFile(frames[i]), frames[i]); });
}

}  // namespace ferment::cli
