// SPDX-License-Identifier: Apache-2.0
//
// Loops of ours on the threads that LibTorch's own operations use.
#pragma once

#include <cstdint>
#include <functional>

namespace ferment::nn {

/// Cuts [0, count) into as many parts as LibTorch computes with threads, at most `count`, and calls body(first, last)
/// for each of them, on threads of its pool. Returns when all have returned. An exception of one is thrown.
///
/// at::parallel_for is made of OpenMP directives in a header: where the file that includes it is compiled without
/// OpenMP, it silently is a plain loop. So it is called in one file, which is compiled with it.
void ForEachPart(std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace ferment::nn
