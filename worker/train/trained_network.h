// SPDX-License-Identifier: Apache-2.0
//
// A network together with what training it needs: flat weights, statistics, optimiser.
#pragma once

#include <memory>

#include "common/nn/backbone.h"
#include "worker/train/exchange/statistics_bucket.h"
#include "worker/train/optimizer/optimizer.h"

namespace ferment::worker {

/// The module's storage belongs to the buckets; load into it by copying.
class TrainedNetwork {
 public:
  TrainedNetwork(std::shared_ptr<nn::Backbone> backbone, const SgdOptions& options)
      : net(std::move(backbone)), bucket(*net), statistics(*net), sgd(bucket, options) {}

  /// What of a network is kept while a step is made. Weights and momentum are twice the network's memory: a network
  /// whose step is the last thing to happen is asked beforehand (Sgd::StaysFinite), and does without.
  enum class Keep { kStatistics, kAll };
  /// Keeps it until the next call.
  void Remember(Keep keep) {
    torch::NoGradGuard no_grad;
    statistics_before_ = statistics.Take();
    kept_ = keep;
    if (keep == Keep::kStatistics) return;
    if (!weights_before_.defined()) {
      weights_before_ = bucket.NewBuffer();
      momentum_before_ = bucket.NewBuffer();
    }
    weights_before_.copy_(bucket.weights());
    momentum_before_.copy_(sgd.momentum());
  }
  /// Undoes what was done to that since Remember.
  void GoBack() {
    torch::NoGradGuard no_grad;
    statistics.PutBack(statistics_before_);
    if (kept_ == Keep::kStatistics) return;
    bucket.weights().copy_(weights_before_);
    sgd.momentum().copy_(momentum_before_);
    sgd.Forget();
  }

  std::shared_ptr<nn::Backbone> net;
  GradientBucket bucket;
  StatisticsBucket statistics;
  Sgd sgd;

 private:
  Keep kept_ = Keep::kStatistics;
  torch::Tensor weights_before_;
  torch::Tensor momentum_before_;
  StatisticsBucket::Snapshot statistics_before_;
};

}  // namespace ferment::worker
