// SPDX-License-Identifier: Apache-2.0
#include "common/nn/parallel_parts.h"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "compile this file with OpenMP"
#endif

namespace ferment::nn {

void ForEachPart(std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& body) {
  at::parallel_for(0, count, /*grain_size=*/1, body);
}

}  // namespace ferment::nn
