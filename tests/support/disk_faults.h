// SPDX-License-Identifier: Apache-2.0
//
// Stands between a test program and the kernel: the n-th call that changes a folder fails, kills, or waits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace ferment::testing {

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
  ~DiskFaults();
  DiskFaults(const DiskFaults&) = delete;
  DiskFaults& operator=(const DiskFaults&) = delete;

  /// Returns: whether the n-th call came.
  bool happened() const;
  void Release();
};

/// Told of the calls that changed a folder, or asked that a change be kept, once they have succeeded: one at a time, on
/// the threads that made them. Handles, and paths as they were given or below that of their folder's handle.
class DiskWatcher {
 public:
  virtual ~DiskWatcher() = default;
  virtual void Opened(int handle, const std::string& path, bool creates, bool truncates) = 0;
  virtual void Wrote(int handle, std::uint64_t at, std::string_view bytes) = 0;
  virtual void Truncated(int handle, std::uint64_t size) = 0;
  virtual void Synced(int handle) = 0;
  virtual void Renamed(const std::string& from, const std::string& to) = 0;
  virtual void MadeFolder(const std::string& path) = 0;
  virtual void Removed(const std::string& path) = 0;
};

/// Has the watcher told of calls below the folder from now on; nullptr: nobody. Not while a DiskFaults lives;
/// one of the same folder may begin later.
void WatchDisk(DiskWatcher* watcher, const std::filesystem::path& folder);

}  // namespace ferment::testing
