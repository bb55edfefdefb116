// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/temporal_inference.h"

#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "common/nn/kernels/parallel_parts.h"

namespace ferment::nn {
namespace {

/// Enough rows to fill a GPU.
constexpr std::size_t kWindowsOnGpu = 256;

/// Of one call. On a CPU so few that what a core makes of them stays in its cache, and fewer where that would leave
/// cores without work; of the video alone, so that any number of threads computes the same.
std::size_t WindowsOfACall(const torch::Device& device, std::size_t windows) {
  constexpr std::size_t kCalls = 12, kMost = 4;
  return device.is_cpu() ? std::clamp<std::size_t>(windows / kCalls, 1, kMost) : kWindowsOnGpu;
}

/// Calls body(first, count) for each `together` of `all`. On a CPU every thread makes its own, whole: none waits for
/// another between two operations.
void ForEachGroup(const torch::Device& device, std::size_t all, std::size_t together,
                  const std::function<void(std::size_t, std::size_t)>& body) {
  const std::size_t groups = (all + together - 1) / together;
  const auto one = [&](std::int64_t group) {
    const torch::NoGradGuard no_grad;  // of this thread
    const std::size_t first = static_cast<std::size_t>(group) * together;
    body(first, std::min(together, all - first));
  };
  if (device.is_cpu()) return ForEachPiece(static_cast<std::int64_t>(groups), one);
  for (std::size_t group = 0; group < groups; ++group) one(static_cast<std::int64_t>(group));
}

torch::Tensor Slice(const torch::Tensor& frames, std::size_t begin, std::size_t length) {
  return frames.narrow(0, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(length));
}

}  // namespace

torch::Tensor PresenceTensor(const std::vector<bool>& present) {
  torch::Tensor flags = torch::zeros({static_cast<std::int64_t>(present.size())}, torch::kBool);
  auto access = flags.accessor<bool, 1>();
  for (std::size_t i = 0; i < present.size(); ++i) access[static_cast<std::int64_t>(i)] = present[i];
  return flags;
}

FramePredictor::FramePredictor(TemporalEncoder& encoder, std::int64_t classes, std::size_t window, std::size_t hop)
    : encoder_(encoder), classes_(classes), window_(window), hop_(hop) {
  encoder_.eval();
}

const TemporalEncoder::FrozenHalves& FramePredictor::HalvesFor(std::int64_t frames) {
  if (frames != frames_of_halves_) {
    frames_of_halves_ = 0;
    halves_ = {};  // before there is another copy
    halves_ = encoder_.Frozen(frames);
    frames_of_halves_ = frames;
  }
  return halves_;
}

FrameTable FramePredictor::Predict(const FrameFeatures& video) {
  const torch::NoGradGuard no_grad;
  const torch::Device device = encoder_.parameters().front().device();
  const torch::Tensor features = video.features.to(device), present = PresenceTensor(video.present).to(device);
  const std::size_t frames = video.present.size();
  const std::vector<FrameWindow> cuts = CutWindows(frames, window_, hop_);  // all of one length
  if (cuts.empty()) return FrameTable(0, static_cast<std::size_t>(classes_));

  const std::size_t together = WindowsOfACall(device, cuts.size()), rows = together * cuts.front().length;
  const auto& [project, classify] = HalvesFor(static_cast<std::int64_t>(rows));
  std::vector<torch::Tensor> parts((frames + rows - 1) / rows);
  ForEachGroup(device, frames, rows, [&](std::size_t first, std::size_t count) {
    parts[first / rows] = project(Slice(features, first, count));
  });
  const torch::Tensor projected = torch::cat(parts);
  parts.clear();

  std::vector<torch::Tensor> logits((cuts.size() + together - 1) / together);
  ForEachGroup(device, cuts.size(), together, [&](std::size_t first, std::size_t count) {
    std::vector<torch::Tensor> windows, seen;
    for (const FrameWindow& cut : std::span(cuts).subspan(first, count)) {
      windows.push_back(Slice(projected, cut.begin, cut.length));
      seen.push_back(Slice(present, cut.begin, cut.length));
    }
    logits[first / together] = classify(torch::stack(windows), torch::stack(seen)).to(torch::kCPU);
  });

  OverlapAverage average(frames, static_cast<std::size_t>(classes_));
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const torch::Tensor own = logits[i / together][static_cast<std::int64_t>(i % together)].contiguous();
    average.Add(cuts[i], {own.data_ptr<float>(), static_cast<std::size_t>(own.numel())});
  }
  return FillGaps(Softmax(average.Mean()), video.present);
}

}  // namespace ferment::nn
