// SPDX-License-Identifier: Apache-2.0
//
// A network together with what training it needs: flat weights, statistics, optimiser.
#pragma once

#include <memory>

#include "common/nn/backbone.h"
#include "worker/train/optimizer.h"
#include "worker/train/statistics_bucket.h"

namespace ferment::worker {

/// The module's storage belongs to the buckets; load into it by copying.
struct TrainedNetwork {
  TrainedNetwork(std::shared_ptr<nn::Backbone> backbone, const SgdOptions& options)
      : net(std::move(backbone)), bucket(*net), statistics(*net), sgd(bucket, options) {}

  /// All that a step changes, so that it can be undone.
  struct Snapshot {
    torch::Tensor weights;
    torch::Tensor momentum;
    StatisticsBucket::Snapshot statistics;
  };
  Snapshot Take() { return {bucket.weights().clone(), sgd.momentum().clone(), statistics.Take()}; }
  void PutBack(const Snapshot& before) {
    bucket.weights().copy_(before.weights);
    sgd.momentum().copy_(before.momentum);
    statistics.PutBack(before.statistics);
  }

  std::shared_ptr<nn::Backbone> net;
  GradientBucket bucket;
  StatisticsBucket statistics;
  Sgd sgd;
};

}  // namespace ferment::worker
