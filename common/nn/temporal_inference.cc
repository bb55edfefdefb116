// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal_inference.h"

#include <torch/types.h>

namespace ferment::nn {

torch::Tensor PresenceTensor(const std::vector<bool>& present) {
  torch::Tensor flags = torch::zeros({static_cast<std::int64_t>(present.size())}, torch::kBool);
  auto access = flags.accessor<bool, 1>();
  for (std::size_t i = 0; i < present.size(); ++i) access[static_cast<std::int64_t>(i)] = present[i];
  return flags;
}

FrameTable PredictFrames(TemporalEncoder& encoder, const FrameFeatures& video, std::int64_t classes, std::size_t window,
                         std::size_t hop) {
  const torch::NoGradGuard no_grad;
  encoder.eval();
  const torch::Device device = encoder.parameters().front().device();
  const torch::Tensor present = PresenceTensor(video.present);
  OverlapAverage average(video.present.size(), static_cast<std::size_t>(classes));
  for (const FrameWindow& cut : CutWindows(video.present.size(), window, hop)) {
    const auto begin = static_cast<std::int64_t>(cut.begin);
    const auto end = begin + static_cast<std::int64_t>(cut.length);
    const torch::Tensor logits = encoder
                                     .forward(video.features.slice(0, begin, end).unsqueeze(0).to(device),
                                              present.slice(0, begin, end).unsqueeze(0).to(device))
                                     .squeeze(0)
                                     .to(torch::kCPU)
                                     .contiguous();
    average.Add(cut, {logits.data_ptr<float>(), static_cast<std::size_t>(logits.numel())});
  }
  return FillGaps(Softmax(average.Mean()), video.present);
}

}  // namespace ferment::nn
