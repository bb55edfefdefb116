// SPDX-License-Identifier: Apache-2.0
#include "worker/train/validation.h"

#include <algorithm>
#include <span>

#include "common/base/logging.h"
#include "common/dataset/faces/face_list.h"
#include "common/nn/preprocess.h"
#include "worker/feed/rank_sampler.h"

namespace ferment::worker {
namespace {

/// Evaluations on the way.
constexpr std::uint64_t kEvaluations = 5;
/// A job of fewer steps is not interrupted.
constexpr std::uint64_t kShortJob = 50;

}  // namespace

bool Validation::Due(std::uint64_t step, std::uint64_t total) {
  if (total < kShortJob) return false;
  const std::uint64_t every = total / kEvaluations;
  return (step + 1) % every == 0 && step + 1 < total;
}

Result<Validation> Validation::Load(const RecipeContext& context, Collective& ranks) {
  FERMENT_ASSIGN_OR_RETURN(const dataset::FaceList list,
                           dataset::LoadFaces(context.spec, dataset::FaceSplit::kValidation));
  Validation validation(context, ranks);
  const RowRange mine = RowsOfRank(list.faces.size(), ranks.rank(), ranks.size());
  for (std::uint64_t i = mine.begin; i < mine.end; ++i) {
    auto image = dataset::ReadFace(list.faces[i]);
    if (!image) {
      if (image.error().code() != StatusCode::kDataLoss) {
        return Fail(image.error().With("validation face " + std::to_string(i) + ", counted from 0"));
      }
      LogWarning("validation_face_damaged", {{"face", i}, {"error", image.error().message()}});
      continue;
    }
    validation.images_.push_back(*std::move(image));
    validation.labels_.push_back(list.faces[i].label);
  }
  return validation;
}

Result<report::ConfusionMatrix> Validation::Evaluate(nn::Backbone& network) const {
  torch::NoGradGuard no_grad;
  const bool was_training = network.is_training();
  network.eval();
  const auto dtype = network.parameters().front().scalar_type();
  const auto classes = static_cast<std::size_t>(context_->spec.classes_size());
  std::vector<double> counts(classes * classes);
  const std::size_t batch = context_->spec.evaluate().batch();
  for (std::size_t at = 0; at < images_.size(); at += batch) {
    const auto rows = std::span(images_).subspan(at, std::min(batch, images_.size() - at));
    torch::Tensor inputs =
        nn::StackImages(rows, static_cast<int>(context_->spec.model().image_size())).to(context_->device, dtype);
    const torch::Tensor predictions =
        network.forward(inputs.contiguous(torch::MemoryFormat::ChannelsLast)).argmax(1).to(torch::kCPU);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto label = static_cast<std::size_t>(labels_[at + i]);
      counts[label * classes +
             static_cast<std::size_t>(predictions[static_cast<std::int64_t>(i)].item<std::int64_t>())] += 1;
    }
  }
  network.train(was_training);
  if (ranks_->size() > 1) FERMENT_RETURN_IF_ERROR(ranks_->AllReduceSum(std::span<double>(counts)));
  report::ConfusionMatrix confusion(static_cast<int>(classes));
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (double n = 0; n < counts[i]; ++n) confusion.Add(static_cast<int>(i / classes), static_cast<int>(i % classes));
  }
  return confusion;
}

}  // namespace ferment::worker
