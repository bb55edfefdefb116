// SPDX-License-Identifier: Apache-2.0
//
// A job's state on disk: what it saves to go on from, and what it publishes at the end.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/io/fenced_writer.h"
#include "common/io/folder_claim.h"
#include "worker/run_client.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: a digest of all in the spec that decides the outcome of this job's steps; where it runs and how often it
/// saves do not.
std::string JobDigest(const RecipeContext& context);

/// What a checkpoint holds.
struct SavedJob {
  /// Steps made.
  std::uint64_t next_step = 0;
  std::uint64_t samples = 0;
  std::uint64_t nonfinite = 0;
  RecipeState state;
};

/// Files of one job under phases/<job>. A value that touches the disk in its methods.
class JobState {
 public:
  explicit JobState(const RecipeContext& context);

  /// Makes the folder this trainer's to write, and takes from it what former trainers were writing. If it then holds
  /// the work of a job with another digest, or with other inputs, moves that to <job>.old-<n>, saying why. Rank 0 only,
  /// once the run token is taken and the recipe is prepared: a job that is refused moves nobody's work. Errors: those
  /// of io::FolderClaim, of writing, and as Finished.
  Status TakeOver(std::uint64_t token, const JobInputs& inputs, bool start_anew);
  /// Returns: what fails once another trainer has taken over; it outlives this. Rank 0 only, after TakeOver.
  io::Fence MayWrite() const;
  /// Rank 0 only, after TakeOver. Errors: Aborted (202) where another trainer has taken over; those of writing.
  Status Save(const SavedJob& job) const;
  /// Returns: the newest checkpoint that is whole and this job's; nothing where there is none. Each rank reads it.
  /// Errors: DataLoss (78) where there are checkpoints and none can be read.
  Result<std::optional<SavedJob>> Newest() const;
  /// Returns: the result of this job if it has ended, which then survives a power cut; that of a job with another
  /// digest or other inputs is none. Rank 0 only: others see files late. Errors: DataLoss (78) naming what is damaged.
  Result<std::optional<JobResult>> Finished(const JobInputs& inputs) const;
  /// Writes models, their digests, and result.json last. As Save.
  Result<JobResult> Publish(const RecipeResult& result, std::uint64_t samples) const;

 private:
  /// Returns: for a person, why the work in the folder is not this job's; empty: it is.
  std::string WhyForeign(const JobInputs& inputs) const;
  Result<JobResult> Write(const RecipeResult& result, std::uint64_t samples) const;
  /// Begins the job anew.
  Status SetAside(const std::string& why, const JobInputs& inputs) const;

  const RecipeContext& context_;
  const std::string digest_;
  std::optional<io::FolderClaim> claim_;
};

}  // namespace ferment::worker
