// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/face_stream.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/dataset/pictures/picture_decoder.h"

namespace ferment::worker {
namespace {

/// Draws tried for one position before the source is called damaged.
constexpr std::uint64_t kReplacements = 16;

/// Fewer missing faces than this are not worth threads.
constexpr std::uint64_t kRowsADecoder = 4;

struct Draw {
  std::uint64_t index = 0;
  std::uint64_t key = 0;
  std::uint64_t epoch = 0;
  std::int64_t label = -1;
};

/// What both streams share: decoding, replacement, threads. Synchronizes itself.
class DrawnStream : public FaceStream {
 public:
  DrawnStream(const RunSpec& spec, std::uint64_t size, DecodedFaces::Decode decode)
      : faces_(size, std::move(decode), {.image_size = static_cast<int>(spec.model().image_size())}),
        seed_(spec.seed()),
        threads_(spec.resources().has_threads_per_rank() ? spec.resources().threads_per_rank() : 2) {}

  Result<FaceBatch> Rows(std::uint64_t begin, std::uint64_t end) override {
    const std::uint64_t rows = end - begin;
    std::vector<Draw> draws(rows);
    std::vector<torch::Tensor> pixels(rows);
    std::atomic<std::uint64_t> next = 0;
    Mutex mutex;
    Status failure;
    const auto work = [&] {
      for (std::uint64_t i = next++; i < rows; i = next++) {
        auto found = Find(begin + i, draws[i]);
        if (found) {
          pixels[i] = *std::move(found);
          continue;
        }
        MutexLock lock(mutex);
        failure = found.error();
      }
    };
    {
      std::vector<std::jthread> helpers;
      const std::uint64_t wanted = std::min<std::uint64_t>(threads_, rows / kRowsADecoder);
      for (std::uint64_t t = 1; t < wanted; ++t) helpers.emplace_back(work);
      work();
    }
    FERMENT_RETURN_IF_ERROR(failure);
    return Stack(draws, pixels);
  }

  std::vector<std::uint64_t> Damaged() const override { return faces_.Damaged(); }

 private:
  virtual Draw At(std::uint64_t position) const = 0;
  /// Told of each damaged face that was drawn. Returns: whether the source may go on without it.
  virtual Status NoteDamaged(const Draw&) { return {}; }

  Result<torch::Tensor> Find(std::uint64_t position, Draw& draw) {
    draw = At(position);
    auto pixels = faces_.Pixels(draw.index);
    for (std::uint64_t attempt = 0;
         !pixels && pixels.error().code() == StatusCode::kDataLoss && attempt < kReplacements; ++attempt) {
      FERMENT_RETURN_IF_ERROR(NoteDamaged(draw));
      draw = At(RandomBits(seed_, StreamOf("replacement"), position * kReplacements + attempt) >> 32);
      pixels = faces_.Pixels(draw.index);
    }
    if (pixels || pixels.error().code() != StatusCode::kDataLoss) return pixels;
    return Fail(pixels.error().With(std::to_string(kReplacements + 1) + " draws in a row were damaged faces: damaged=" +
                                    std::to_string(faces_.Damaged().size()) + " of=" + std::to_string(faces_.size()) +
                                    " last=" + std::to_string(draw.index) + ", counted from 0"));
  }

  Result<FaceBatch> Stack(const std::vector<Draw>& draws, const std::vector<torch::Tensor>& pixels) const {
    FaceBatch batch;
    batch.pixels = torch::stack(pixels);
    batch.labels = torch::empty({static_cast<std::int64_t>(draws.size())}, torch::kInt64);
    std::int64_t* labels = batch.labels.data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < draws.size(); ++i) {
      labels[i] = draws[i].label;
      batch.keys.push_back(draws[i].key);
      batch.draws.push_back(RandomBits(draws[i].key, StreamOf("epoch"), draws[i].epoch));
    }
    return batch;
  }

  DecodedFaces faces_;
  const std::uint64_t seed_;
  const std::uint64_t threads_;
};

class LabelledStream : public DrawnStream {
 public:
  LabelledStream(const RunSpec& spec, dataset::FaceList list, dataset::ClassBalancedSampler sampler)
      : DrawnStream(spec, list.faces.size(), [this](std::uint64_t i) { return dataset::ReadFace(labelled_[i]); }),
        labelled_(std::move(list.faces)),
        classes_(spec.classes().begin(), spec.classes().end()),
        sampler_(std::move(sampler)),
        sound_(std::move(list.per_class)) {}

 private:
  /// Other classes' faces would take the place of one that has none left, and the network never learn it.
  Status NoteDamaged(const Draw& draw) override {
    const auto label = static_cast<std::size_t>(draw.label);
    const MutexLock lock(mutex_);
    if (damaged_.insert(draw.index).second) --sound_[label];
    if (sound_[label] > 0) return {};
    return DataLossError("every training face of a class is damaged: class=" + classes_[label] +
                         "; look at `ferment data scan`");
  }

  Draw At(std::uint64_t position) const override {
    const dataset::FaceDraw draw = sampler_.At(position);
    return {draw.index, draw.index, draw.epoch, labelled_[draw.index].label};
  }

  const std::vector<dataset::LabelledFace> labelled_;
  const std::vector<std::string> classes_;
  const dataset::ClassBalancedSampler sampler_;
  Mutex mutex_;
  std::set<std::uint64_t> damaged_ FERMENT_GUARDED_BY(mutex_);
  /// By label: faces that were not found damaged.
  std::vector<std::uint64_t> sound_ FERMENT_GUARDED_BY(mutex_);
};

class FrStream : public DrawnStream {
 public:
  FrStream(const RunSpec& spec, std::unique_ptr<dataset::RecordSource> source, dataset::FrSampler sampler)
      : DrawnStream(spec, source->size(), [this](std::uint64_t i) { return DecodeRecord(i); }),
        source_(std::move(source)),
        sampler_(std::move(sampler)) {}

 private:
  Result<dataset::Image> DecodeRecord(std::uint64_t index) const {
    FERMENT_ASSIGN_OR_RETURN(const dataset::EncodedRecord record, source_->Read(index));
    auto picture = dataset::DecodePicture(record.image);
    if (picture) return picture;
    return Fail(
        Status(picture.error().code(), std::string(picture.error().message()) + " key=" + std::to_string(record.key)));
  }

  Draw At(std::uint64_t position) const override {
    const dataset::FrDraw draw = sampler_.At(position);
    const auto index = dataset::IndexOfKey(*source_, draw.key);
    FERMENT_CHECK(index.has_value()) << "key=" << draw.key;
    return {*index, draw.key, draw.epoch, draw.label.value_or(-1)};
  }

  const std::unique_ptr<dataset::RecordSource> source_;
  const dataset::FrSampler sampler_;
};

}  // namespace

Result<std::unique_ptr<FaceStream>> OpenLabelledStream(const RunSpec& spec) {
  FERMENT_ASSIGN_OR_RETURN(dataset::FaceList list, dataset::LoadFaces(spec, dataset::FaceSplit::kTrain));
  std::vector<int> labels;
  for (const dataset::LabelledFace& face : list.faces) labels.push_back(face.label);
  const std::vector<std::string> classes(spec.classes().begin(), spec.classes().end());
  FERMENT_ASSIGN_OR_RETURN(auto sampler, dataset::ClassBalancedSampler::Create(labels, classes, spec.seed()));
  return std::make_unique<LabelledStream>(spec, std::move(list), std::move(sampler));
}

std::unique_ptr<FaceStream> MakeFrStream(const RunSpec& spec, std::unique_ptr<dataset::RecordSource> source,
                                         dataset::FrSampler sampler) {
  return std::make_unique<FrStream>(spec, std::move(source), std::move(sampler));
}

}  // namespace ferment::worker
