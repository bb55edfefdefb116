// SPDX-License-Identifier: Apache-2.0
//
// What a run must be given before it may write into its folder: the folder is nobody else's, and was begun with its
// spec.
#pragma once

#include <filesystem>
#include <string>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/io/folder_hold.h"

namespace ferment::coordinator {

/// Takes the folder for `owner`, whose run tokens begin anew where it was another's. Errors: those of
/// io::FolderHold::Take; Aborted (202) where a trainer of another owner works there, or may under Slurm.
Result<io::FolderHold> TakeRunFolder(const std::filesystem::path& run_dir, const std::string& owner);

/// Writes the spec that trainers read, or compares with the one that is there. Errors: InvalidArgument (64) naming the
/// keys that differ, or what in `file` cannot be read; as writing.
Status KeepRunSpec(const std::filesystem::path& file, const RunSpec& spec);

}  // namespace ferment::coordinator
