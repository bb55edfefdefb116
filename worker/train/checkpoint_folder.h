// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints of one job: a folder a step, whole once its MANIFEST.json is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/io/folder_claim.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// checkpoints/step-<n>/{<stem>.safetensors ..., MANIFEST.json}; the manifest holds the scalars, each file's digest and
/// its own (docs/formats.md, "Checkpoint"). A value.
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
  /// What else there is to say of a checkpoint that was read; a failure is damage to it.
  using Check = std::function<Status(std::uint64_t step, const RecipeState& state)>;
  /// Returns: the newest checkpoint of which the manifest and every file have their digests and `check` is ok; nothing
  /// where there is none. A manifest of former versions has no digest: its keys and its step are looked at. A damaged
  /// one is passed over with a warning, and marked as such where an earlier one is good. Errors: DataLoss (78) where
  /// all are damaged; FailedPrecondition (78) where one is of a later format than this version knows.
  Result<std::optional<RecipeState>> Newest(const Check& check = {}) const;
  /// Has a job of `total_steps` go on from its checkpoint of `step` by `restore`. Errors: DataLoss (78) naming the
  /// checkpoint, where that does not fit the job (DataLoss, InvalidArgument); what else `restore` says, as it is.
  Status GoOnFrom(std::uint64_t step, std::uint64_t total_steps, const std::function<Status()>& restore) const;

 private:
  void RemoveOld(std::uint64_t written, std::uint32_t keep) const;
  Status Write(std::uint64_t step, const RecipeState& state, const io::FolderClaim& claim) const;

  std::filesystem::path folder_;
};

}  // namespace ferment::worker
