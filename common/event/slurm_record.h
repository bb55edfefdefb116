// SPDX-License-Identifier: Apache-2.0
//
// What is on disk of a start under Slurm: that it was wanted, which job it became, who began it, how it ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::event {

/// Returns: a name for one start that no other start on any cluster has: of the run's owner (its id and when it was
/// submitted), its folder, the job and the attempt, such as "teacher-1-ferment-0123456789abcdef".
std::string SlurmName(const std::string& owner, const std::filesystem::path& run_dir, const std::string& job_id,
                      std::uint32_t attempt);

struct SlurmEnd {
  int exit_code = 0;
  /// It left because it was asked to.
  bool asked = false;
  /// Slurm had ended it, and nobody saw how.
  bool lost = false;
  friend bool operator==(const SlurmEnd&, const SlurmEnd&) = default;
};

/// Files under <run_dir>/processes/slurm, written by the launcher (script, number) and by the script (begin, end: see
/// common/config/slurm_script.h). A value; holds paths only. Errors: those of io::ReadErrno and io::WriteErrno;
/// DataLoss naming the file where something else stands in it.
class SlurmRecord {
 public:
  SlurmRecord(const std::filesystem::path& run_dir, const std::string& name);

  /// Path of all files but for their endings.
  const std::filesystem::path& stem() const { return stem_; }
  std::filesystem::path Script() const;

  /// That the start is wanted: its script, durably, before Slurm is asked for anything.
  Status Want(std::string_view script) const;
  Result<bool> Wanted() const;
  /// The job's number, durably, after Slurm has accepted it.
  Status NoteJob(const std::string& number) const;
  /// Returns: as noted, or nothing.
  Result<std::optional<std::string>> Job() const;
  enum class Begin { kNot, kBegun, kWithdrawn };
  Result<Begin> Began() const;
  /// From now on no job can begin this start. Returns: false where one has, or where it was withdrawn before.
  Result<bool> Withdraw() const;
  Result<std::optional<SlurmEnd>> End() const;
  /// Returns: the number of the job that began it; "": it was not, or that job could not write its number.
  Result<std::string> BegunBy() const;
  /// Slurm says that it is over, and it left no word of its own. A later word of its own replaces this one. Returns:
  /// false where it has left one.
  Result<bool> NoteLost() const;

 private:
  /// Makes the file with this word in it. Returns: false where it is there.
  Result<bool> MakeOnce(const char* ending, std::string_view word) const;

  std::filesystem::path stem_;
};

/// Returns: names of starts that were wanted, were not withdrawn, and of which no end is known. A missing folder has
/// none.
std::vector<std::string> UnfinishedSlurmStarts(const std::filesystem::path& run_dir);

/// Returns: whether SlurmName made `name` for this owner and folder.
bool IsSlurmNameOf(std::string_view name, const std::string& owner, const std::filesystem::path& run_dir);

}  // namespace ferment::event
