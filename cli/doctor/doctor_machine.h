// SPDX-License-Identifier: Apache-2.0
//
// What `ferment doctor` looks at on the machine that it runs on.
#pragma once

#include <cstdint>
#include <filesystem>

#include "cli/doctor/doctor_finding.h"

namespace ferment::cli {

inline constexpr std::uint64_t kGiB = 1ULL << 30;

/// Programs, cores, loopback, GPUs, shared memory, and whether files in `folder` survive a power cut.
Findings CheckMachine(const std::filesystem::path& folder);

/// Where `ferment run` keeps its store: `network_file_system` is its kind, or empty. Never bad, since it may.
Finding CheckStore(const std::string& network_file_system);

/// Whether `folder` has `wanted` bytes for `purpose`.
Finding CheckSpace(const std::filesystem::path& folder, std::uint64_t wanted, const std::string& purpose);

/// Whether `folder` is large enough for what the ranks of a machine share, and has not filled up.
Finding CheckSharedMemory(const std::filesystem::path& folder);

/// nccl-* files of this user in `folder` that none of the user's processes has open or mapped: a killed trainer leaves
/// them, and they count as memory.
Finding CheckStaleFiles(const std::filesystem::path& folder);

/// What nvidia-smi says of memory that has gone bad. A machine without one is good: it works on its processors.
Finding CheckGpus();

}  // namespace ferment::cli
