// SPDX-License-Identifier: Apache-2.0
//
// The disks of this machine behind the FileSystem port.
#pragma once

#include <memory>

#include "common/io/file_system.h"

namespace ferment::io {

std::unique_ptr<FileSystem> MakeLocalFileSystem();

/// Returns: the bytes that the file had when it was opened, or all up to its end where it tells no size, as in /proc.
/// Errors: NotFound, PermissionDenied; Unavailable (65) where its disk fails, it was shortened meanwhile, or it is a
/// folder, a pipe or a device.
Result<std::vector<std::byte>> ReadFile(const std::filesystem::path& path);

/// Returns: the whole file as text. Errors: those of ReadFile.
Result<std::string> ReadTextFile(const std::filesystem::path& path);

/// Returns: names in the folder, sorted bytewise, without temporary files. Errors: NotFound, PermissionDenied.
Result<std::vector<std::string>> ListFolder(const std::filesystem::path& folder);

}  // namespace ferment::io
