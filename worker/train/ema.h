// SPDX-License-Identifier: Apache-2.0
//
// The moving average of the student, which is what is evaluated and published.
#pragma once

#include "worker/train/trained_network.h"

namespace ferment::worker {

/// Averaged weights, and averaged statistics to go with them (docs/method.md, rule 10).
struct AveragedNetwork {
  explicit AveragedNetwork(std::shared_ptr<nn::Backbone> backbone)
      : net(std::move(backbone)), bucket(*net, /*trained=*/false), statistics(*net) {}

  /// e <- decay * e + (1 - decay) * s for parameters, running_mean and running_var; num_batches_tracked is copied.
  void MoveTowards(const TrainedNetwork& student, double decay);

  std::shared_ptr<nn::Backbone> net;
  GradientBucket bucket;
  StatisticsBucket statistics;
};

}  // namespace ferment::worker
