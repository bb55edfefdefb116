// SPDX-License-Identifier: Apache-2.0
//
// Faces by index, decoded to the network's size and remembered while they fit into memory.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/dataset/pictures/image.h"

namespace ferment::worker {

/// Guarded: the memory and the list of damage are under `mutex_`; `decode` must be callable from any thread.
class DecodedFaces {
 public:
  using Decode = std::function<Result<dataset::Image>(std::uint64_t index)>;
  struct Options {
    int image_size = 112;
    /// Past this no further face is remembered.
    std::uint64_t cache_bytes = 1ULL << 30;
  };
  DecodedFaces(std::uint64_t size, Decode decode, const Options& options);

  std::uint64_t size() const { return remembered_.size(); }
  /// Returns: [3, H, W] uint8, resized where it has another size. Errors: those of `decode`; DataLoss is remembered.
  /// Thread: any.
  Result<torch::Tensor> Pixels(std::uint64_t index);
  /// Returns: indices of the damaged faces met so far, rising.
  std::vector<std::uint64_t> Damaged() const;

 private:
  Result<torch::Tensor> DecodeNow(std::uint64_t index) const;

  const Decode decode_;
  const Options options_;
  mutable Mutex mutex_;
  std::vector<torch::Tensor> remembered_ FERMENT_GUARDED_BY(mutex_);
  std::map<std::uint64_t, Status> damaged_ FERMENT_GUARDED_BY(mutex_);
  std::uint64_t remembered_bytes_ FERMENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace ferment::worker
