// SPDX-License-Identifier: Apache-2.0
#include "worker/train/ema.h"

namespace ferment::worker {

void AveragedNetwork::MoveTowards(const TrainedNetwork& student, double decay) {
  torch::NoGradGuard no_grad;
  bucket.weights().lerp_(student.bucket.weights(), 1 - decay);
  statistics.MoveTowards(student.statistics, decay);
}

}  // namespace ferment::worker
