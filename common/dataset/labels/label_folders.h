// SPDX-License-Identifier: Apache-2.0
//
// Where a run folder's label sets lie, for those who look at them without a server.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/labels/label_index.h"

namespace ferment::dataset {

/// The label sets of one data set by one teacher under one label config.
struct LabelFolder {
  std::filesystem::path path;
  std::filesystem::path run_dir;
};

/// Returns: `path` itself where it holds an index.json, else all of the run folder `path`, sorted. Errors: NotFound
/// (exit 65) where there is none; InvalidArgument (exit 2) for an empty path; those of reading folders.
Result<std::vector<LabelFolder>> FindLabelFolders(const std::filesystem::path& path);
/// As FindLabelFolders, with those that hold label sets and no index.json, which nobody else takes for any.
Result<std::vector<LabelFolder>> FindLabelFoldersToCheck(const std::filesystem::path& path);

/// What a folder that is looked through turned out to hold, one sentence each.
struct LabelFolderFaults {
  std::vector<std::string> faults;
  /// What is no fault, such as files that the index does not name, which are no label sets.
  std::vector<std::string> notes;
};

/// Reads every file that the index names: digest, counts, contents, origin, classes, keys that are in one shard alone,
/// figures that a softmax can have made. How many shards there should be is told by the run's spec and data, where
/// these can be read and the label sets are theirs. Errors: those of opening and listing the folder; those of reading
/// the index whose exit code is not 65, since such are faults.
Result<LabelFolderFaults> CheckLabelFolder(const LabelFolder& folder);

/// A record's row.
struct LabelPlace {
  LabelSet set;
  std::size_t row = 0;
};

/// Returns: the row of `key`, if the folder has it. Errors: those of reading.
Result<std::optional<LabelPlace>> FindLabel(const LabelFolder& folder, std::uint64_t key);

}  // namespace ferment::dataset
