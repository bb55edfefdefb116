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
class TrainedNetwork {
 public:
  TrainedNetwork(std::shared_ptr<nn::Backbone> backbone, const SgdOptions& options)
      : net(std::move(backbone)), bucket(*net), statistics(*net), sgd(bucket, options) {}

  /// Keeps all that a step changes, until the next call; the memory for it is kept too.
  void Remember() {
    torch::NoGradGuard no_grad;
    if (!weights_before_.defined()) {
      weights_before_ = bucket.NewBuffer();
      momentum_before_ = bucket.NewBuffer();
    }
    weights_before_.copy_(bucket.weights());
    momentum_before_.copy_(sgd.momentum());
    statistics_before_ = statistics.Take();
  }
  /// Undoes what was done since Remember.
  void GoBack() {
    torch::NoGradGuard no_grad;
    bucket.weights().copy_(weights_before_);
    sgd.momentum().copy_(momentum_before_);
    statistics.PutBack(statistics_before_);
  }

  std::shared_ptr<nn::Backbone> net;
  GradientBucket bucket;
  StatisticsBucket statistics;
  Sgd sgd;

 private:
  torch::Tensor weights_before_;
  torch::Tensor momentum_before_;
  StatisticsBucket::Snapshot statistics_before_;
};

}  // namespace ferment::worker
