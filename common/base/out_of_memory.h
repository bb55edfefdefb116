// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a process that `new` can give no memory.
#pragma once

namespace ferment {

/// From then on it says so on standard error and ends at once with exit code 137, as one that the kernel kills for its
/// memory. Nothing is unwound: destructors of half-made values fare worse than an end (nlohmann's of a JSON object that
/// could not be made follows a null pointer). For programs that lose nothing by an end. Thread: the first of the
/// process.
void EndWhereMemoryIsOut();

}  // namespace ferment
