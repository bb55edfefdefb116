// SPDX-License-Identifier: Apache-2.0
//
// Files that appear whole or not at all, and that are still there after a power cut.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "common/base/status.h"

namespace ferment::io {

/// Writes a temporary file beside `path`, syncs it, renames it, syncs the folder; the temporary file is gone after a
/// failure. Thread: any; the last of two writers wins. Errors: those of io::WriteErrno (73 for no permission or no
/// parent folder, 204 for no space or a failed sync).
Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text);
/// `may_appear` is asked before the rename; where it fails, the file stays as it was.
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text,
                           const std::function<Status()>& may_appear);
/// How a function that makes a file has it written.
using WriteText = std::function<Status(const std::filesystem::path&, std::string_view)>;

/// Removes what other writers of `path` have not renamed yet, so that they fail; a missing folder has none.
/// Errors: those of io::WriteErrno.
Status RemoveTemporariesOf(const std::filesystem::path& path);

/// Creates the folder and its missing parents. Errors: those of io::WriteErrno.
Status CreateFolders(const std::filesystem::path& folder);

/// Makes renames in the folder durable. Errors: those of io::WriteErrno.
Status SyncFolder(const std::filesystem::path& folder);

/// Returns: whether a writer that was killed may have left this name behind.
bool IsTemporaryName(std::string_view name);

}  // namespace ferment::io
