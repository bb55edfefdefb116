// SPDX-License-Identifier: Apache-2.0
#include "labeler/torch_annotator.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/io/checksum.h"
#include "common/nn/inference_plan.h"
#include "common/nn/preprocess.h"
#include "common/nn/torch_guard.h"

namespace ferment::labeler {
namespace {

/// Returns: how many faces go through the network together: so few that the largest activation, that of the first
/// layer, stays in a core's share of the last cache, and not so few that the weights are read for next to nothing.
std::uint32_t FacesAPass(const nn::BackboneConfig& config) {
  constexpr std::int64_t kFloats = 1 << 20;
  const std::int64_t side = config.image_size / 2;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(kFloats / (side * side * config.width + 1), 4, 16));
}

std::vector<float> ToVector(const torch::Tensor& tensor) {
  const float* begin = tensor.const_data_ptr<float>();
  return {begin, begin + tensor.numel()};
}

class TorchAnnotator final : public Annotator {
 public:
  TorchAnnotator(nn::InferencePlan plan, nn::BackboneConfig config)
      : plan_(std::move(plan)), config_(std::move(config)) {}

  std::size_t batch() const override { return static_cast<std::size_t>(plan_.batch()); }
  std::size_t classes() const override { return static_cast<std::size_t>(config_.classes); }

  Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
    FERMENT_ASSIGN_OR_RETURN(const torch::Tensor images,
                             nn::Guard([&] { return nn::StackImages(faces, config_.image_size); }));
    FERMENT_ASSIGN_OR_RETURN(const nn::Prediction prediction, plan_.Run(images));
    return Annotation{ToVector(prediction.logits), ToVector(prediction.features)};
  }

 private:
  nn::InferencePlan plan_;
  nn::BackboneConfig config_;
};

}  // namespace

void SetInferenceThreads(int threads) { at::set_num_threads(threads); }

void KeepFreedMemory() {
  constexpr int kMapped = 32 << 20;  // the most that glibc takes
  mallopt(M_MMAP_THRESHOLD, kMapped);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest) {
  if (!digest.empty()) {
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(weights));
    if (found != digest) {
      return Fail(DataLossError("the network's file is not the one that was published; run its phase again: file=" +
                                weights.string() + " sha256=" + found + " expected=" + digest));
    }
  }
  const nn::BackboneConfig config = nn::BackboneOf(spec);
  const auto faces = static_cast<int>(std::min(spec.labeling().batch(), FacesAPass(config)));
  FERMENT_ASSIGN_OR_RETURN(auto plan, nn::InferencePlan::Load(weights, config, faces, spec.labeling().plan()));
  return std::make_unique<TorchAnnotator>(std::move(plan), config);
}

}  // namespace ferment::labeler
