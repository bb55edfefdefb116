// SPDX-License-Identifier: Apache-2.0
//
// One picture among thousands that a manifest vouches for: written plainly, not synced one by one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "common/base/status.h"

namespace ferment::dataset {

/// Errors: those of io::WriteErrno.
Status WritePicture(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace ferment::dataset
