// SPDX-License-Identifier: Apache-2.0
#include "worker/feed/face_views.h"

#include "common/nn/augment.h"
#include "common/nn/preprocess.h"

namespace ferment::worker {
namespace {

torch::Tensor Finished(const torch::Tensor& pixels, const ViewTarget& target) {
  return nn::Normalize(pixels).to(target.dtype).contiguous(torch::MemoryFormat::ChannelsLast);
}

}  // namespace

torch::Tensor WeakFaces(const FaceBatch& faces, std::uint64_t seed, const ViewTarget& target) {
  torch::NoGradGuard no_grad;
  return Finished(nn::WeakView(faces.pixels.to(target.device), faces.draws, seed, 0), target);
}

torch::Tensor StrongFaces(const FaceBatch& faces, std::uint64_t seed, const ViewTarget& target) {
  torch::NoGradGuard no_grad;
  return Finished(nn::StrongView(faces.pixels.to(target.device), faces.draws, seed, 0), target);
}

}  // namespace ferment::worker
