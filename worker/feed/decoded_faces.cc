// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/decoded_faces.h"

#include "common/base/logging.h"
#include "common/nn/preprocess.h"

namespace ferment::worker {

DecodedFaces::DecodedFaces(std::uint64_t size, Decode decode, const Options& options)
    : decode_(std::move(decode)), options_(options), remembered_(size) {}

Result<torch::Tensor> DecodedFaces::Pixels(std::uint64_t index) {
  {
    MutexLock lock(mutex_);
    if (remembered_[index].defined()) return remembered_[index];
    if (const auto damaged = damaged_.find(index); damaged != damaged_.end()) return Fail(damaged->second);
  }
  auto pixels = DecodeNow(index);
  MutexLock lock(mutex_);
  if (!pixels) {
    if (pixels.error().code() != StatusCode::kDataLoss) {
      return Fail(pixels.error().With("face " + std::to_string(index) + ", counted from 0"));
    }
    if (damaged_.emplace(index, pixels.error()).second)
      LogWarning("face_damaged", {{"face", index}, {"error", pixels.error().message()}});
    return pixels;
  }
  if (remembered_bytes_ + pixels->nbytes() <= options_.cache_bytes) {
    remembered_bytes_ += pixels->nbytes();
    remembered_[index] = *pixels;
  }
  return pixels;
}

Result<torch::Tensor> DecodedFaces::DecodeNow(std::uint64_t index) const {
  FERMENT_ASSIGN_OR_RETURN(dataset::Image image, decode_(index));
  torch::NoGradGuard no_grad;
  if (image.width == options_.image_size && image.height == options_.image_size) {
    return torch::from_blob(image.rgb.data(), {image.height, image.width, 3}, torch::kUInt8)
        .permute({2, 0, 1})
        .contiguous();
  }
  const torch::Tensor resized = nn::StackImages(std::span<const dataset::Image>(&image, 1), options_.image_size);
  return ((resized[0] * 0.5 + 0.5) * 255).round().clamp(0, 255).to(torch::kUInt8);
}

std::vector<std::uint64_t> DecodedFaces::Damaged() const {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> indices;
  for (const auto& [index, status] : damaged_) indices.push_back(index);
  return indices;
}

}  // namespace ferment::worker
