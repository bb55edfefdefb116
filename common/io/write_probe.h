// SPDX-License-Identifier: Apache-2.0
//
// Finds out before long work whether what it makes can be written.
#pragma once

#include <filesystem>

#include "common/base/status.h"

namespace ferment::io {

/// Makes the folder with its missing parents, and in it a file as AtomicFile does, which is removed. Thread: any.
/// Errors: those of io::WriteErrno.
Status TryToWriteIn(const std::filesystem::path& folder);

}  // namespace ferment::io
