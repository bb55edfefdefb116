// SPDX-License-Identifier: Apache-2.0
//
// The BatchNorm statistics of one network in one flat buffer: averaged over ranks, kept aside and put back as a whole.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <vector>

#include "worker/collective/collective.h"

namespace ferment::worker {

/// Replaces the storage of a module's floating-point buffers by views of one. The module must not be moved or cast
/// afterwards.
///
/// Thread: the loop's.
class StatisticsBucket {
 public:
  explicit StatisticsBucket(torch::nn::Module& module);
  StatisticsBucket(const StatisticsBucket&) = delete;
  StatisticsBucket& operator=(const StatisticsBucket&) = delete;

  /// [padded] all running_mean and running_var; padding between them is 0 and stays so.
  torch::Tensor& statistics() { return statistics_; }
  /// Every rank's statistics become their plain mean over ranks.
  Status AverageOverRanks(Collective& ranks);

  struct Snapshot {
    torch::Tensor statistics;
    std::vector<torch::Tensor> counters;
  };
  Snapshot Take() const;
  void PutBack(const Snapshot& snapshot);
  /// Statistics become decay * own + (1 - decay) * other's; counters are copied.
  void MoveTowards(const StatisticsBucket& other, double decay);

 private:
  torch::Tensor statistics_;
  std::vector<torch::Tensor> counters_;  // num_batches_tracked, int64 scalars
};

}  // namespace ferment::worker
