// SPDX-License-Identifier: Apache-2.0
//
// From decoded faces to what the networks see: the weak and the strong view.
#pragma once

#include "worker/feed/face_stream.h"

namespace ferment::worker {

/// Where and in what type the networks compute.
struct ViewTarget {
  torch::Device device = torch::kCPU;
  torch::Dtype dtype = torch::kFloat32;
};

/// Returns: [n, 3, H, W] normalised, channels last; a function of (seed, face, draw). Throws c10::Error.
torch::Tensor WeakFaces(const FaceBatch& faces, std::uint64_t seed, const ViewTarget& target);
torch::Tensor StrongFaces(const FaceBatch& faces, std::uint64_t seed, const ViewTarget& target);

}  // namespace ferment::worker
