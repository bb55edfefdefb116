// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal_inference.h"

#include <torch/types.h>

#include <algorithm>
#include <span>
#include <vector>

namespace ferment::nn {
namespace {

/// Enough rows for products of matrices to be fast, few enough that a pass stays small.
constexpr std::size_t kWindowsOnCpu = 16;
/// Enough rows to fill a GPU.
constexpr std::size_t kWindowsOnGpu = 256;

/// A frame lies in several windows, and is projected once; so many at a time that what is made on the way takes little
/// memory, however long the video.
torch::Tensor Projected(TemporalEncoder& encoder, const torch::Tensor& features, std::size_t together) {
  torch::Tensor projected;
  std::int64_t done = 0;
  for (const torch::Tensor& part : features.split(static_cast<std::int64_t>(together))) {
    const torch::Tensor some = encoder.Project(part);
    if (some.size(0) == features.size(0)) return some;
    if (!projected.defined()) projected = torch::empty({features.size(0), some.size(1)}, some.options());
    projected.slice(0, done, done + some.size(0)).copy_(some);
    done += some.size(0);
  }
  return projected;
}

}  // namespace

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
  const std::size_t together = device.is_cpu() ? kWindowsOnCpu : kWindowsOnGpu;
  const torch::Tensor projected = Projected(encoder, video.features.to(device), together * window);
  const torch::Tensor present = PresenceTensor(video.present).to(device);
  OverlapAverage average(video.present.size(), static_cast<std::size_t>(classes));
  const std::vector<FrameWindow> cuts = CutWindows(video.present.size(), window, hop);  // all of one length
  for (std::size_t first = 0; first < cuts.size(); first += together) {
    const std::span group = std::span(cuts).subspan(first, std::min(together, cuts.size() - first));
    const auto joined = [&](const torch::Tensor& frames) {
      std::vector<torch::Tensor> windows;
      for (const FrameWindow& cut : group)
        windows.push_back(
            frames.narrow(0, static_cast<std::int64_t>(cut.begin), static_cast<std::int64_t>(cut.length)));
      return torch::stack(windows);
    };
    const torch::Tensor logits = encoder.Classify(joined(projected), joined(present), {}).to(torch::kCPU).contiguous();
    for (std::size_t i = 0; i < group.size(); ++i) {
      const torch::Tensor own = logits[static_cast<std::int64_t>(i)];
      average.Add(group[i], {own.data_ptr<float>(), static_cast<std::size_t>(own.numel())});
    }
  }
  return FillGaps(Softmax(average.Mean()), video.present);
}

}  // namespace ferment::nn
