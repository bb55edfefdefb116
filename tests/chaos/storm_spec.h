// SPDX-License-Identifier: Apache-2.0
//
// The spec of storms and soaks: many small shards, three teachers, and trainers that have next to nothing to do.
#pragma once

#include <chrono>
#include <filesystem>

namespace ferment::chaos {

/// Renders faces into `folder`/data, `records` of them to label, eight a shard. Returns: the file of the spec, in
/// `folder`. Ends the process where that fails.
std::filesystem::path WriteStormSpec(const std::filesystem::path& folder, int records, std::chrono::milliseconds lease);

}  // namespace ferment::chaos
