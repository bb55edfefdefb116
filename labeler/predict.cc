// SPDX-License-Identifier: Apache-2.0
#include "labeler/predict.h"

#include <algorithm>
#include <span>
#include <utility>

#include "common/base/logging.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "labeler/exported_model.h"
#include "labeler/label_rule.h"
#include "labeler/ordered_prefetch.h"
#include "labeler/picture_list.h"

namespace ferment::labeler {
namespace {

constexpr std::uint32_t kBatch = 32;

/// What the network says of those pictures of a group that could be read.
struct ReadPictures {
  /// Places in the group, rising.
  std::vector<std::size_t> places;
  std::vector<float> logits;
  std::vector<float> features;
};

class Predictor {
 public:
  Predictor(ExportedModel model, int threads)
      : model_(std::move(model)),
        threads_(threads),
        classes_(model_.spec.classes().begin(), model_.spec.classes().end()) {}

  Status AddPictures(const PictureGroup& group) {
    FERMENT_ASSIGN_OR_RETURN(const ReadPictures read, Read(group));
    for (std::size_t i = 0; i < read.places.size(); ++i) {
      const auto logits = std::span(read.logits).subspan(i * classes_.size(), classes_.size());
      rows_.push_back({group.pictures[read.places[i]], std::nullopt, SoftmaxOf(logits, 1.0)});
    }
    return {};
  }

  /// Requires: the model has a temporal encoder, and the group frame numbers.
  Status AddVideo(const PictureGroup& group) {
    FERMENT_ASSIGN_OR_RETURN(const ReadPictures read, Read(group));
    if (read.places.empty()) return {};
    const std::size_t size = model_.temporal->input_size();
    if (read.features.size() != read.places.size() * size)
      return DataLossError(
          "the temporal encoder reads features of another size than the student has: temporal.input_size=" +
          std::to_string(size) + " student=" + std::to_string(read.features.size() / read.places.size()));
    const std::size_t last = group.frames.back();
    std::vector<float> features(last * size);
    std::vector<bool> present(last);
    for (std::size_t i = 0; i < read.places.size(); ++i) {
      const std::size_t frame = group.frames[read.places[i]] - 1;
      present[frame] = true;
      std::ranges::copy(std::span(read.features).subspan(i * size, size),
                        features.begin() + static_cast<std::ptrdiff_t>(frame * size));
    }
    FERMENT_ASSIGN_OR_RETURN(const nn::FrameTable table, model_.temporal->Run(features, present));
    for (std::size_t frame = 0; frame < last; ++frame) {
      const auto row = table.Row(frame);
      rows_.push_back({group.path, static_cast<std::uint32_t>(frame + 1), {row.begin(), row.end()}});
    }
    return {};
  }

  bool has_temporal() const { return model_.temporal.has_value(); }
  bool empty() const { return rows_.empty(); }
  int skipped() const { return skipped_; }
  std::string Text(PredictFormat format) const { return PredictionText(rows_, classes_, format); }

 private:
  Result<ReadPictures> Read(const PictureGroup& group) {
    const std::size_t batch = model_.annotator->batch();
    const std::size_t batches = (group.pictures.size() + batch - 1) / batch;
    OrderedPrefetch<Result<ReadPictures>> annotated(batches, threads_, [&](std::uint64_t number) {
      return ReadBatch(group, number * batch, std::min(group.pictures.size(), (number + 1) * batch));
    });
    ReadPictures read;
    for (std::size_t number = 0; number < batches; ++number) {
      FERMENT_ASSIGN_OR_RETURN(const ReadPictures part, annotated.Next());
      read.places.insert(read.places.end(), part.places.begin(), part.places.end());
      read.logits.insert(read.logits.end(), part.logits.begin(), part.logits.end());
      read.features.insert(read.features.end(), part.features.begin(), part.features.end());
    }
    skipped_ += static_cast<int>(group.pictures.size() - read.places.size());
    return read;
  }

  Result<ReadPictures> ReadBatch(const PictureGroup& group, std::size_t first, std::size_t last) const {
    ReadPictures read;
    std::vector<dataset::Image> images;
    for (std::size_t place = first; place < last; ++place) {
      auto image = dataset::DecodePictureFile(group.pictures[place]);
      if (image) {
        images.push_back(std::move(*image));
        read.places.push_back(place);
      } else {
        LogWarning("picture_skipped", {{"path", group.pictures[place].string()}, {"why", image.error().message()}});
      }
    }
    if (images.empty()) return read;
    FERMENT_ASSIGN_OR_RETURN(Annotation annotation, model_.annotator->Annotate(images));
    read.logits = std::move(annotation.logits);
    read.features = std::move(annotation.features);
    return read;
  }

  ExportedModel model_;
  int threads_;
  std::vector<std::string> classes_;
  std::vector<PredictionRow> rows_;
  int skipped_ = 0;
};

}  // namespace

Result<PredictReport> Predict(const PredictOptions& options) {
  FERMENT_ASSIGN_OR_RETURN(const auto groups, ListPictures(options.paths));
  FERMENT_ASSIGN_OR_RETURN(ExportedModel model, OpenExportedModel(options.model, kBatch, options.device));
  Predictor predictor(std::move(model), options.device.threads);
  std::size_t pictures = 0;
  for (const PictureGroup& group : groups) {
    pictures += group.pictures.size();
    const bool video = !group.frames.empty() && predictor.has_temporal() && !options.picture_by_picture;
    FERMENT_RETURN_IF_ERROR(video ? predictor.AddVideo(group) : predictor.AddPictures(group));
  }
  if (predictor.empty())
    return Fail(DataLossError("none of the pictures could be read: pictures=" + std::to_string(pictures)));
  if (predictor.skipped() > 0)
    LogWarning("pictures_skipped", {{"skipped", predictor.skipped()}, {"pictures", pictures}});
  return PredictReport{predictor.Text(options.format), predictor.skipped()};
}

}  // namespace ferment::labeler
