// SPDX-License-Identifier: Apache-2.0
//
// A folder of JPEG and PNG files, sub-folders included, as a source of unlabelled faces.
#pragma once

#include <filesystem>
#include <memory>

#include "common/base/result.h"
#include "common/dataset/records/record_source.h"

namespace ferment::dataset {

/// Keys are 1, 2, ... in the bytewise order of the relative paths, so adding a file renumbers those after it. Reads by
/// mapping. Errors: NotFound for a missing folder or one without a .jpg, .jpeg or .png (exit 65). Read: file-missing,
/// file-unreadable.
Result<std::unique_ptr<RecordSource>> OpenFolderSource(const std::filesystem::path& path);

}  // namespace ferment::dataset
