// SPDX-License-Identifier: Apache-2.0
//
// Lets synchronised BatchNorm add up its statistics through a Collective.
#pragma once

#include "common/nn/batch_norm.h"
#include "worker/train/exchange/gradient_bucket.h"

namespace ferment::worker {

/// The collective outlives it. Thread: the collective's.
class RankStatistics : public nn::StatisticsExchange {
 public:
  explicit RankStatistics(Collective& ranks) : ranks_(ranks) {}
  Status Sum(const torch::Tensor& values) override {
    torch::Tensor flat = values.view(-1);
    return SumOverRanks(flat, ranks_);
  }

 private:
  Collective& ranks_;
};

}  // namespace ferment::worker
