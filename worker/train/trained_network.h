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

  std::shared_ptr<nn::Backbone> net;
  GradientBucket bucket;
  StatisticsBucket statistics;
  Sgd sgd;
};

}  // namespace ferment::worker
