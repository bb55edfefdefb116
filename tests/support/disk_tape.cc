// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk_tape.h"

#include <iterator>

namespace ferment::testing {

namespace fs = std::filesystem;
using Kind = DiskChange::Kind;

DiskTape::DiskTape(const fs::path& folder) : folder_(folder.string()) { WatchDisk(this, folder); }

DiskTape::~DiskTape() { WatchDisk(nullptr, {}); }

void DiskTape::Mark() { changes_.push_back({}); }

std::string DiskTape::Below(const std::string& path) const {
  return path.size() <= folder_.size() ? "" : fs::path(path.substr(folder_.size() + 1)).lexically_normal().string();
}

void DiskTape::Opened(int handle, const std::string& path, bool creates, bool truncates) {
  const std::string name = Below(path);
  file_of_.erase(handle);
  folder_of_.erase(handle);
  auto known = names_.find(name);
  if (known == names_.end() && creates) {
    known = names_.emplace(name, files_++).first;
    changes_.push_back({.kind = Kind::kCreate, .file = known->second, .path = name});
  } else if (known != names_.end() && truncates) {
    changes_.push_back({.kind = Kind::kTruncate, .file = known->second});
  }
  if (known != names_.end()) {
    file_of_[handle] = known->second;
  } else {
    folder_of_[handle] = name;
  }
}

void DiskTape::Wrote(int handle, std::uint64_t at, std::string_view bytes) {
  if (file_of_.contains(handle)) {
    changes_.push_back({.kind = Kind::kWrite, .file = file_of_[handle], .at = at, .bytes = std::string(bytes)});
  }
}

void DiskTape::Truncated(int handle, std::uint64_t size) {
  if (file_of_.contains(handle)) changes_.push_back({.kind = Kind::kTruncate, .file = file_of_[handle], .at = size});
}

void DiskTape::Synced(int handle) {
  if (const auto file = file_of_.find(handle); file != file_of_.end()) {
    changes_.push_back({.kind = Kind::kSync, .file = file->second});
  } else if (const auto folder = folder_of_.find(handle); folder != folder_of_.end()) {
    changes_.push_back({.kind = Kind::kSyncFolder, .path = folder->second});
  }
}

void DiskTape::Renamed(const std::string& from, const std::string& to) {
  const auto file = names_.find(Below(from));
  changes_.push_back(
      {.kind = Kind::kRename, .file = file == names_.end() ? -1 : file->second, .path = Below(from), .to = Below(to)});
  MoveNames(Below(from), Below(to));
}

void DiskTape::MoveNames(const std::string& from, const std::string& to) {
  std::map<std::string, int> moved;
  for (auto it = names_.begin(); it != names_.end();) {
    const bool below = it->first == from || it->first.starts_with(from + "/");
    if (below) moved[to + it->first.substr(from.size())] = it->second;
    it = below ? names_.erase(it) : std::next(it);
  }
  for (const auto& [name, file] : moved) names_[name] = file;
}

void DiskTape::MadeFolder(const std::string& path) {
  changes_.push_back({.kind = Kind::kMakeFolder, .path = Below(path)});
}

void DiskTape::Removed(const std::string& path) {
  changes_.push_back({.kind = Kind::kRemove, .path = Below(path)});
  names_.erase(Below(path));
}

}  // namespace ferment::testing
