// SPDX-License-Identifier: Apache-2.0
//
// Files that appear whole or not at all, and that are still there after a power cut.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "common/base/status.h"

namespace ferment::io {

/// Writes a temporary file beside `path`, syncs it, renames it, syncs the folder; the temporary file is gone after a
/// failure. Thread: any; the last of two writers wins. Errors: those of io::WriteErrno (73 for no permission or no
/// parent folder, 204 for no space or a failed sync).
Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

/// Creates the folder and its missing parents. Errors: those of io::WriteErrno.
Status CreateFolders(const std::filesystem::path& folder);

/// Makes renames in the folder durable. Errors: those of io::WriteErrno.
Status SyncFolder(const std::filesystem::path& folder);

/// Returns: whether a writer that was killed may have left this name behind.
bool IsTemporaryName(std::string_view name);

}  // namespace ferment::io
