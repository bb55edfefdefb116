// SPDX-License-Identifier: Apache-2.0
//
// Secrets on disk: files that their owner alone may read, and folders of them that are renewed in one step.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace ferment::io {

/// Writes a new file of mode 0600. Errors: AlreadyExists with exit code 73; those of io::WriteErrno.
Status WriteSecretFile(const std::filesystem::path& file, std::string_view text);

/// Makes the folder with these files, by name, or puts it in the place of the one that is there in one step: whoever
/// watches it sees the old files or the new ones, never one of each; where the file system exchanges no names (NFS),
/// for a moment neither. A new file is dated a second or more after the one that it replaces, by which readers that
/// look at several files tell. Errors: those of io::WriteErrno.
Status ReplaceSecretFolder(const std::filesystem::path& folder, const std::map<std::string, std::string>& files);

}  // namespace ferment::io
