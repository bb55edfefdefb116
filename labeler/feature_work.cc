// SPDX-License-Identifier: Apache-2.0
#include "labeler/feature_work.h"

#include <algorithm>
#include <utility>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/record_source.h"
#include "common/dataset/videos/feature_set.h"
#include "common/dataset/videos/video_list.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "labeler/ordered_prefetch.h"

namespace ferment::labeler {
namespace {

struct AnnotatedFrames {
  std::vector<std::uint32_t> numbers;
  std::map<std::string, std::uint64_t> reasons;
  Annotation annotation;
};

Result<AnnotatedFrames> AnnotateFrames(const dataset::Video& video, Annotator& annotator, std::size_t first,
                                       std::size_t count) {
  AnnotatedFrames frames;
  std::vector<dataset::Image> images;
  for (std::size_t i = first; i < first + count; ++i) {
    const std::uint32_t number = video.frames_with_image[i];
    auto image = dataset::DecodePictureFile(video.FramePath(number));
    if (!image) {
      const bool damaged = image.error().code() == StatusCode::kDataLoss;
      ++frames.reasons[damaged ? dataset::DamageReason(image.error()) : "unreadable"];
      continue;
    }
    frames.numbers.push_back(number);
    images.push_back(std::move(*image));
  }
  if (images.empty()) return frames;
  FERMENT_ASSIGN_OR_RETURN(frames.annotation, annotator.Annotate(images));
  return frames;
}

}  // namespace

Result<std::vector<dataset::Video>> VideosByName(const RunSpec& spec, const std::vector<std::string>& names) {
  FERMENT_ASSIGN_OR_RETURN(const auto all, dataset::LoadVideos(spec));
  std::vector<dataset::Video> videos;
  for (const std::string& name : names) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const dataset::Video& v) { return v.name == name; });
    if (found == all.end()) {
      return Fail(NotFoundError("no such video; was data.videos changed while the run went on? video=" + name +
                                " path=" + spec.data().videos().path()));
    }
    videos.push_back(*found);
  }
  return videos;
}

Result<FeatureFile> ExtractVideo(const FeatureExtraction& extraction, const dataset::Video& video, Annotator& annotator,
                                 const std::stop_token& stop, std::atomic<std::uint64_t>& done) {
  dataset::FeatureSet set;
  set.dataset = extraction.dataset;
  set.video = video.name;
  set.model = extraction.model.digest;
  set.classes.assign(extraction.spec.classes().begin(), extraction.spec.classes().end());

  FeatureFile written;
  const std::size_t total = video.frames_with_image.size();
  const std::size_t batch = annotator.batch();
  const std::size_t batches = (total + batch - 1) / batch;
  OrderedPrefetch<Result<AnnotatedFrames>> annotated(batches, extraction.threads, [&](std::uint64_t number) {
    const std::size_t first = number * batch;
    return AnnotateFrames(video, annotator, first, std::min(batch, total - first));
  });
  for (std::size_t number = 0; number < batches; ++number) {
    if (stop.stop_requested()) return Fail(CancelledError("asked to stop within a video"));
    FERMENT_ASSIGN_OR_RETURN(const AnnotatedFrames frames, annotated.Next());
    for (const auto& [reason, count] : frames.reasons) {
      written.reasons[reason] += count;
      written.quarantined += count;
    }
    const auto& [logits, features] = frames.annotation;
    set.frame.insert(set.frame.end(), frames.numbers.begin(), frames.numbers.end());
    set.features.insert(set.features.end(), features.begin(), features.end());
    set.logits.insert(set.logits.end(), logits.begin(), logits.end());
    done.fetch_add(frames.numbers.size(), std::memory_order_relaxed);
  }
  written.read = total;
  const auto bytes = dataset::FeatureSetBytes(set);
  written.file = extraction.model.output_dir / (video.name + ".npz");
  written.sha256 = io::Sha256Hex(bytes);
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(extraction.model.output_dir));
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(written.file, bytes));
  return written;
}

}  // namespace ferment::labeler
