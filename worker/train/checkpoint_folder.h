// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints of one job: a folder a step, whole once its MANIFEST.json is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "common/io/folder_claim.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// checkpoints/step-<n>/{<stem>.safetensors ..., MANIFEST.json}; the manifest holds the scalars and each file's digest.
/// A value.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Writes step-<step>, under another name until all of it is there and `claim` holds still; once that survives a
  /// power cut, removes all but it and the newest others up to `keep`. Those that Newest passed over are none of them:
  /// the newest is renamed to step-<n>.damaged, all earlier ones are removed. Errors: the claim's; those of writing,
  /// with the bytes needed and free. The earlier checkpoints are then as they were.
  Status Save(std::uint64_t step, const RecipeState& state, std::uint32_t keep, const io::FolderClaim& claim) const;
  /// Removes what others have half written, so that they fail; after the job's folder was claimed. Errors: those of
  /// io::WriteErrno.
  Status RemoveHalfWritten() const;
  /// Returns: the newest checkpoint of which every file has its digest; nothing where there is none. A damaged one is
  /// passed over with a warning, and marked as such where an earlier one is good. Errors: DataLoss (78) where all are
  /// damaged, or one is of a later format than this version knows.
  Result<std::optional<RecipeState>> Newest() const;

 private:
  void RemoveOld(std::uint64_t written, std::uint32_t keep) const;
  Status Write(std::uint64_t step, const RecipeState& state, const io::FolderClaim& claim) const;

  std::filesystem::path folder_;
};

}  // namespace ferment::worker
