// SPDX-License-Identifier: Apache-2.0
//
// Renders many pictures on all cores; which core renders which does not show in the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/base/usable_cores.h"

namespace ferment::dataset {

/// Returns: body(0) .. body(count - 1), in order, computed on every core. `body` must be safe to call from any thread.
template <typename Body>
auto RenderAll(std::uint64_t count, const Body& body) {
  std::vector<decltype(body(std::uint64_t{0}))> results(count);
  const std::uint64_t threads = std::min(UsableCores(), 16U);
  std::vector<std::jthread> pool;
  for (std::uint64_t first = 0; first < threads; ++first)
    pool.emplace_back([&results, &body, first, threads, count] {
      for (std::uint64_t i = first; i < count; i += threads) results[i] = body(i);
    });
  pool.clear();
  return results;
}

}  // namespace ferment::dataset
