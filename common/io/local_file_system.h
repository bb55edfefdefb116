// SPDX-License-Identifier: Apache-2.0
//
// The disks of this machine behind the FileSystem port.
#pragma once

#include <memory>

#include "common/io/file_system.h"

namespace ferment::io {

std::unique_ptr<FileSystem> MakeLocalFileSystem();

/// Returns: the whole file in bytes, as long as when it was opened. Errors: NotFound, PermissionDenied, Unavailable.
Result<std::vector<std::byte>> ReadFile(const std::filesystem::path& path);

/// Returns: the whole file as text. Errors: those of ReadFile.
Result<std::string> ReadTextFile(const std::filesystem::path& path);

/// Returns: names in the folder, sorted bytewise, without temporary files. Errors: NotFound, PermissionDenied.
Result<std::vector<std::string>> ListFolder(const std::filesystem::path& folder);

}  // namespace ferment::io
