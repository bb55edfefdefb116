// SPDX-License-Identifier: Apache-2.0
#include "worker/train/compute_threads.h"

#include <torch/utils.h>

#include <algorithm>

#include "common/base/usable_cores.h"

namespace ferment::worker {

void UseComputeThreads(const RunSpec& spec, int local_ranks) {
  const unsigned cores = UsableCores();
  const unsigned ranks = static_cast<unsigned>(std::max(local_ranks, 1));
  const unsigned threads =
      spec.resources().has_threads_per_rank() ? spec.resources().threads_per_rank() : std::max(1U, cores / ranks);
  torch::set_num_threads(static_cast<int>(threads));
}

}  // namespace ferment::worker
