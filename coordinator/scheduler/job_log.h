// SPDX-License-Identifier: Apache-2.0
//
// Reads the log file of a job piece by piece, while it may still grow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace ferment::coordinator {

/// Returns: up to 64 KiB from `offset`; empty at the end, and where the job has written no log (yet).
/// Errors: PermissionDenied where the file cannot be read.
Result<std::string> ReadJobLog(const std::filesystem::path& file, std::uint64_t offset);

}  // namespace ferment::coordinator
