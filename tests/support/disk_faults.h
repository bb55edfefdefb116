// SPDX-License-Identifier: Apache-2.0
//
// Stands between a test program and the kernel: the n-th call that changes a folder fails, kills, or waits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace ferment::testing {

/// A call that has changed the folder, or was to have the disk take what was changed.
struct DiskCall {
  enum class Kind { kCreate, kMakeFolder, kWrite, kTruncate, kSync, kRename, kRemove };
  Kind kind;
  /// Relative to the folder, of what has a name made, changed or taken away: kCreate, kMakeFolder, kRename, kRemove.
  std::filesystem::path path = {};
  /// kRename: its new one.
  std::filesystem::path to = {};
  /// What was made, written, truncated or synced.
  std::uint64_t inode = 0;
  /// kWrite: its first byte. kTruncate: the new size.
  std::uint64_t at = 0;
  /// kWrite.
  std::string bytes = {};
};

/// Counts creating a file, write, truncate, sync, close after writing, rename, mkdir and unlink below one folder, of
/// every thread of this program, while it lives. The calls themselves are replaced by disk_faults.cc, which the test
/// program must link as a source.
class DiskFaults {
 public:
  enum class Kind {
    /// The call fails with `error`, once.
    kFail,
    /// The call fails with `error`, and each after it, as on a disk that is full or dead.
    kFailFrom,
    /// A signal: of the calls that one may break off (create, write, truncate, sync, close), the n-th fails with EINTR.
    kInterrupt,
    /// The n-th write writes half of its bytes; with an `error`, the one after it fails with that.
    kShort,
    /// SIGKILL comes in place of the call.
    kKill,
    /// The call, and each after it, waits for Release.
    kHold,
  };

  DiskFaults(const std::filesystem::path& folder, Kind kind, int at, int error = 0);
  /// Nothing fails: each call is made and told of, one after the other, save syncs, which are told of alone.
  DiskFaults(const std::filesystem::path& folder, std::function<void(DiskCall)> told);
  ~DiskFaults();
  /// From the n-th call after this one on all fail with EIO, which leaves what a kill there would; 0: none any more.
  void FailFrom(int at);
  DiskFaults(const DiskFaults&) = delete;
  DiskFaults& operator=(const DiskFaults&) = delete;

  /// Returns: whether the n-th call came.
  bool happened() const;
  void Release();
};

}  // namespace ferment::testing
