// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/clip_feed.h"

#include <torch/types.h>

#include <algorithm>

#include "common/base/random.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/videos/feature_set.h"
#include "common/dataset/videos/video_list.h"

namespace ferment::worker {
namespace {

/// Rows that results have for a video: its annotation's lines; without any, what the challenge lists; else its frames.
std::size_t ClipLength(const dataset::Video& video) {
  if (!video.labels.empty()) return video.labels.size();
  return video.listed_frames > 0 ? video.listed_frames : video.LastFrame();
}

/// Returns: what `model` made of the video's frames; no rows for a video without a picture.
Result<dataset::FeatureSet> FeaturesOf(const dataset::Video& video, const std::filesystem::path& folder,
                                       const std::string& model, const std::vector<std::string>& classes) {
  if (video.frames_with_image.empty()) return dataset::FeatureSet();
  const auto path = folder / (video.name + ".npz");
  FERMENT_ASSIGN_OR_RETURN(dataset::FeatureSet set, dataset::ReadFeatureSet(path));
  if (set.model != model || set.classes != classes)
    return Fail(DataLossError("features were made by another model or for other classes: file=" + path.string() +
                              " model=" + set.model));
  if (set.video != video.name)
    return Fail(DataLossError("features are another video's: file=" + path.string() + " video=" + set.video));
  return set;
}

Result<Clip> MakeClip(const dataset::Video& video, const dataset::FeatureSet& set) {
  const std::size_t length = ClipLength(video);
  const auto size = static_cast<std::int64_t>(set.feature_size());
  Clip clip{video.name,
            video.set,
            {torch::zeros({static_cast<std::int64_t>(length), size}), std::vector<bool>(length)},
            std::vector<int>(length, -1)};
  for (std::size_t i = 0; i < std::min(length, video.labels.size()); ++i) clip.labels[i] = video.labels[i];
  for (std::size_t row = 0; row < set.frame.size(); ++row) {
    const std::size_t frame = set.frame[row];
    if (frame == 0) return Fail(DataLossError("frame numbers start at 1: video=" + video.name));
    if (frame > length) continue;
    clip.frames.present[frame - 1] = true;
    const float* source = set.features.data() + row * set.feature_size();
    std::copy_n(source, set.feature_size(), clip.frames.features.data_ptr<float>() + (frame - 1) * set.feature_size());
  }
  return clip;
}

}  // namespace

Result<std::vector<Clip>> LoadClips(const RunSpec& spec, const RunLayout& layout, const std::string& model) {
  FERMENT_ASSIGN_OR_RETURN(const auto videos, dataset::LoadVideos(spec));
  const auto folder = layout.Features(dataset::DatasetName(spec.data().videos().path()), model);
  const std::vector<std::string> classes(spec.classes().begin(), spec.classes().end());
  std::vector<Clip> clips;
  std::size_t feature_size = 0;
  for (const dataset::Video& video : videos) {
    FERMENT_ASSIGN_OR_RETURN(const dataset::FeatureSet set, FeaturesOf(video, folder, model, classes));
    const bool faceless = set.frame.empty();
    // Not one face: nothing to learn from and nothing to judge by. A submission has a row a frame all the same.
    if (faceless && (video.set != dataset::VideoSet::kTest || ClipLength(video) == 0)) continue;
    if (!faceless && feature_size != 0 && set.feature_size() != feature_size)
      return Fail(DataLossError("features of another size: folder=" + folder.string() + " video=" + video.name));
    if (!faceless) feature_size = set.feature_size();
    FERMENT_ASSIGN_OR_RETURN(Clip clip, MakeClip(video, set));
    clips.push_back(std::move(clip));
  }
  for (Clip& clip : clips) {
    torch::Tensor& features = clip.frames.features;
    if (features.size(1) == 0) features = torch::zeros({features.size(0), static_cast<std::int64_t>(feature_size)});
  }
  return clips;
}

Status CheckValidated(const std::vector<Clip>& clips) {
  const bool validated = std::any_of(clips.begin(), clips.end(), [](const Clip& clip) {
    return clip.set == dataset::VideoSet::kValidation &&
           std::any_of(clip.labels.begin(), clip.labels.end(), [](int label) { return label >= 0; });
  });
  if (validated) return {};
  return NotFoundError("no validation video has a labelled frame: look at `ferment data scan`")
      .WithExitCode(exit_code::kBadData);
}

Result<WindowSampler> WindowSampler::Make(const std::vector<Clip>& clips, std::size_t window, std::uint64_t seed) {
  std::vector<Place> places;
  for (const Clip& clip : clips) {
    if (clip.set != dataset::VideoSet::kTrain) continue;
    for (std::size_t i = 0; i < clip.labels.size(); ++i)
      if (clip.labels[i] >= 0 && clip.frames.present[i]) places.push_back({&clip, i});
  }
  if (places.empty())
    return Fail(NotFoundError("no training video has a labelled frame with a face: look at `ferment data scan`")
                    .WithExitCode(exit_code::kBadData));
  return WindowSampler(std::move(places), window, seed);
}

WindowBatch WindowSampler::Draw(std::uint64_t step, std::size_t batch, std::size_t begin, std::size_t end) const {
  const auto rows = static_cast<std::int64_t>(end - begin);
  const auto width = static_cast<std::int64_t>(window_);
  const std::int64_t size = places_.front().clip->frames.features.size(1);
  WindowBatch drawn{torch::zeros({rows, width, size}), torch::zeros({rows, width}, torch::kBool),
                    torch::full({rows, width}, -1, torch::kInt64)};
  auto present = drawn.present.accessor<bool, 2>();
  auto labels = drawn.labels.accessor<std::int64_t, 2>();
  for (std::size_t row = begin; row < end; ++row) {
    RandomSequence random(seed_, StreamOf("temporal/window"), 2 * (step * batch + row));
    const Place& place = places_[random.Below(places_.size())];
    const std::size_t length = place.clip->labels.size();
    // The labelled frame falls anywhere in the window, as far as the clip's ends allow.
    const std::size_t before = random.Below(window_);
    std::size_t first = place.frame > before ? place.frame - before : 0;
    if (length > window_)
      first = std::min(first, length - window_);
    else
      first = 0;
    const std::size_t count = std::min(window_, length - first);
    const auto r = static_cast<std::int64_t>(row - begin);
    const auto from = static_cast<std::int64_t>(first);
    const auto n = static_cast<std::int64_t>(count);
    drawn.features[r].slice(0, 0, n).copy_(place.clip->frames.features.slice(0, from, from + n));
    for (std::size_t i = 0; i < count; ++i) {
      const auto column = static_cast<std::int64_t>(i);
      present[r][column] = place.clip->frames.present[first + i];
      if (present[r][column]) labels[r][column] = place.clip->labels[first + i];
    }
  }
  return drawn;
}

std::vector<std::uint64_t> WindowSampler::ClassCounts(int classes) const {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(classes));
  for (const Place& place : places_) {
    const auto label = static_cast<std::size_t>(place.clip->labels[place.frame]);
    if (label < counts.size()) ++counts[label];
  }
  return counts;
}

}  // namespace ferment::worker
