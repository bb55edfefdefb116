// SPDX-License-Identifier: Apache-2.0
//
// Which of several processes may write a folder: the one of the highest number. For numbers that somebody else gives
// out, such as run tokens, and processes that may hear of a newer one from nobody but the file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// A file `.writer-<number>-<unique>` in the folder, which the next process to take it removes.
///
/// Check is the fence of AtomicFile::Appear: who was let pass before another took the folder has renamed already, or
/// finds nothing to rename, once that one has removed what others had begun. The folder itself is never renamed, else
/// its claim would be another's name. Needs processes that see each other's unlink, as on a local disk and on NFS.
///
/// The file is locked, by a lock of the kernel's, for as long as this or a copy lives: see EndedClaim. A value. Thread:
/// any.
class FolderClaim {
 public:
  /// Takes the folder, which exists, from those of lower numbers. 0: from anybody, where something else has made sure
  /// that the rest may be overruled. Errors: Aborted (202) where a higher number has it; those of io::WriteErrno.
  static Result<FolderClaim> Take(const std::filesystem::path& folder, std::uint64_t number);

  /// Errors: Aborted (202) once another has taken the folder; those of io::WriteErrno where that cannot be seen.
  Status Check() const;
  /// Returns: Check's failure; else `failure`, which then has a cause of its own.
  Status UnlessTaken(Status failure) const;

  /// Moves all that lies in the folder, but for claims and temporary files, to <folder>.old-<n>; `first`, which says
  /// whose the rest is, before the rest, also after a power cut. Until it is whole, that folder is called
  /// <folder>.<unique>.half-set-aside: Take renames those of others, so that one who was stopped moves nothing of a
  /// later process's, and what a killed one has moved gets its number. Returns: the new folder; an empty path where
  /// there was nothing to move. Errors: as Check; those of io::WriteErrno.
  Result<std::filesystem::path> SetAside(const std::string& first) const;

 private:
  class Lock;
  explicit FolderClaim(std::filesystem::path file) : file_(std::move(file)) {}
  Status Appear();
  std::filesystem::path folder() const { return file_.parent_path(); }
  Status EndOthersSettingAside() const;
  Status MoveInto(const std::filesystem::path& aside, const std::vector<std::string>& names) const;

  std::filesystem::path file_;
  /// Shared with the copies. Null: nobody will know when they are gone.
  std::shared_ptr<const Lock> lock_;
};

/// Returns: the number of who has the folder, once that process is certainly done with it: it let its lock go, as it
/// does with its end, and it ran under the kernel that this one runs under, so that nobody else can have hidden the
/// lock. 0: it is there, or nobody can know, or nobody has the folder.
std::uint64_t EndedClaim(const std::filesystem::path& folder);

/// Whoever claims the folder has lost it, as where numbers begin anew. Errors: those of io::WriteErrno.
Status RemoveClaims(const std::filesystem::path& folder);

}  // namespace ferment::io
