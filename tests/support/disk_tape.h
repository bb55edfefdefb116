// SPDX-License-Identifier: Apache-2.0
//
// The calls that changed a folder, in their order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/disk_faults.h"

namespace ferment::testing {

/// One call that changed something, or a mark between two of them.
struct DiskChange {
  enum class Kind { kCreate, kWrite, kTruncate, kSync, kSyncFolder, kRename, kMakeFolder, kRemove, kMark };
  Kind kind = Kind::kMark;
  /// Of a file, by its creation; names change.
  int file = -1;
  /// Relative to the folder.
  std::string path = {};
  std::string to = {};
  std::uint64_t at = 0;
  std::string bytes = {};
};

/// Records the calls of this program below one folder while it lives, which is empty at first. The calls are seen by
/// disk_faults.cc, which the test program must link as a source. Not seen: what libc does for fopen, and mappings.
class DiskTape final : public DiskWatcher {
 public:
  explicit DiskTape(const std::filesystem::path& folder);
  ~DiskTape() override;
  DiskTape(const DiskTape&) = delete;
  DiskTape& operator=(const DiskTape&) = delete;

  /// Something has been acknowledged.
  void Mark();
  const std::vector<DiskChange>& changes() const { return changes_; }

  void Opened(int handle, const std::string& path, bool creates, bool truncates) override;
  void Wrote(int handle, std::uint64_t at, std::string_view bytes) override;
  void Truncated(int handle, std::uint64_t size) override;
  void Synced(int handle) override;
  void Renamed(const std::string& from, const std::string& to) override;
  void MadeFolder(const std::string& path) override;
  void Removed(const std::string& path) override;

 private:
  std::string Below(const std::string& path) const;
  void MoveNames(const std::string& from, const std::string& to);

  const std::string folder_;
  std::vector<DiskChange> changes_;
  int files_ = 0;
  std::map<std::string, int> names_;
  std::map<int, int> file_of_;
  std::map<int, std::string> folder_of_;
};

}  // namespace ferment::testing
