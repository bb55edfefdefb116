// SPDX-License-Identifier: Apache-2.0
//
// Which label sets of a folder count: the index that the coordinator brings up to date, and readers obey.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/labels/label_set.h"

namespace ferment::dataset {

/// Beside an index.json of this disk: locked by whoever enters a shard, and no label set.
inline constexpr char kLabelIndexLock[] = ".index.lock";

/// Committed label sets by shard.
using LabelIndex = std::map<std::uint64_t, LabelFile>;

/// The text of an index.json in pieces, for a job so large that nobody should hold all of it.
class LabelIndexText {
 public:
  /// Requires: shards ascending.
  void Add(std::uint64_t shard, const LabelFile& file);
  /// Returns: what is new since the last call.
  std::string Take() { return std::exchange(text_, {}); }
  /// Ends the text. Returns: what is new since the last call.
  std::string TakeEnd();

 private:
  std::string text_ = "{\"shards\": {";
  bool empty_ = true;
};

/// Returns: what `folder`/index.json names; empty where there is none yet. `stop` as io::OpenObjectStore's. Errors:
/// DataLoss for a damaged index; those of LabelFiles.
Result<LabelIndex> ReadLabelIndex(const std::filesystem::path& folder, const std::stop_token& stop = {});

/// Where a coordinator, which writes it in pieces, has it.
std::filesystem::path LabelIndexFile(const std::filesystem::path& folder);

/// Reads the index, enters one shard and replaces it; creates the folder. The same entry again changes nothing.
/// Returns: whether the shard was not there before. `stop` as io::OpenObjectStore's; it also ends the wait for others
/// (Cancelled). Thread: any, and any number of processes, where the file system has locks. Errors: AlreadyExists where
/// the shard has another digest; Unavailable where another process has kept the index for a minute; those of reading
/// and writing.
Result<bool> CommitToLabelIndex(const std::filesystem::path& folder, std::uint64_t shard, const LabelFile& file,
                                const std::stop_token& stop = {});

/// Returns: a digest of all shards and their digests: "the label sets in use".
std::string LabelIndexDigest(const LabelIndex& index);

/// Returns: every set that the index names, by ascending shard, digests verified, of `origin` or, without one, all of
/// the first one's. Errors: FailedPrecondition (exit 65) where the index is missing or empty; DataLoss where a set has
/// another origin or shard, other classes or overlapping keys; those of ReadLabelIndex and ReadLabelSet.
Result<std::vector<LabelSet>> ReadLabelSets(const std::filesystem::path& folder,
                                            const std::optional<LabelOrigin>& origin = std::nullopt);

}  // namespace ferment::dataset
