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
/// OpenMP directives in a file that is compiled without OpenMP, those of at::parallel_for among them, are silently a
/// plain loop. So they are in one file, which is compiled with it.
void ForEachPart(std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& body);

/// Calls body(i) for each i below `count`: a thread takes the next one when it has made its last, so that one which is
/// held up keeps nobody waiting for more than a piece.
void ForEachPiece(std::int64_t count, const std::function<void(std::int64_t)>& body);

}  // namespace ferment::nn
