// SPDX-License-Identifier: Apache-2.0
//
// Which process runs a run's folder: a lock of the kernel's, which goes with the process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/base/result.h"

namespace ferment::io {

/// In a run's folder; the first is `ferment run`'s (its pid), the second that of a coordinator, or of a trainer that
/// works without one.
inline constexpr char kCommandLock[] = ".ferment-run";
inline constexpr char kCoordinatorLock[] = ".ferment-coordinator";

/// Who holds a folder, as it wrote itself down.
struct FolderHolder {
  std::string owner;
  std::string host;
  std::int64_t pid = 0;
  bool on_this_host = false;
};

/// Holds a folder for one owner, from Take to destruction or to the end of the process, however that comes.
///
/// Processes that name the same owner hold it side by side: a coordinator takes its store's runs over from another one
/// that may be stopped, not gone, and keeps its lock; those two are told apart by the store's terms (decision 27).
/// Thread: one.
class FolderHold {
 public:
  /// Makes the folder if need be. Tries for a second. Errors: Aborted with exit code 202, naming folder and holder,
  /// where another owner's process holds it, or a live `ferment run` that is not this process's parent; those of
  /// writing; of `end_former`, which ends what a former owner has left, before this one is written down.
  /// A file system without locks is logged (folder.not_locked) and holds nobody off.
  static Result<FolderHold> Take(const std::filesystem::path& folder, const std::string& owner,
                                 const std::function<Status()>& end_former = nullptr);

  FolderHold(FolderHold&& other) noexcept;
  FolderHold& operator=(FolderHold&&) = delete;
  FolderHold(const FolderHold&) = delete;
  FolderHold& operator=(const FolderHold&) = delete;
  ~FolderHold();

 private:
  explicit FolderHold(int handle) : handle_(handle) {}
  Result<bool> TryTake(const std::filesystem::path& file, const std::string& owner,
                       const std::function<Status()>& end_former);

  int handle_;
};

/// Returns: who holds the folder now.
std::optional<FolderHolder> HolderOf(const std::filesystem::path& folder);

}  // namespace ferment::io
