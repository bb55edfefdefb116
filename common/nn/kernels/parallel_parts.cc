// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/parallel_parts.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>

#ifndef _OPENMP
#error "compile this file with OpenMP"
#endif

namespace ferment::nn {

// at::parallel_for would leave a thread-local byte in every program that is linked with this, and where that is the
// only one, mold 1.10 makes a program that the loader refuses.
void ForEachPart(std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), count);
  if (threads == 1 || at::in_parallel_region()) {
    body(0, count);
    return;
  }
  const int wanted = static_cast<int>(threads);
  std::exception_ptr failure;
#pragma omp parallel num_threads(wanted)
  {
    const std::int64_t part = (count + omp_get_num_threads() - 1) / omp_get_num_threads();
    const std::int64_t begin = omp_get_thread_num() * part;
    try {
      if (begin < count) body(begin, std::min(count, begin + part));
    } catch (...) {  // must not leave the parallel region
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void ForEachPiece(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::atomic<std::int64_t> next{0};
  ForEachPart(std::min<std::int64_t>(count, at::get_num_threads()), [&](std::int64_t, std::int64_t) {
    for (std::int64_t piece = next++; piece < count; piece = next++) body(piece);
  });
}

}  // namespace ferment::nn
