// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_images.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <string>

namespace ferment::testing {
namespace {

namespace fs = std::filesystem;
using Kind = DiskChange::Kind;

/// How a disk treats what nobody has synced: the share of the names of each folder, and of the blocks of each file,
/// that had got there. -1: drawn anew each time.
struct CutPolicy {
  const char* name;
  double names;
  double blocks;
  std::uint64_t block_bytes;
};

constexpr std::array<CutPolicy, 8> kPolicies = {{
    {"nothing that was not synced", 0, 0, 4096},
    {"all names, no bytes", 1, 0, 4096},
    {"no names, all bytes", 0, 1, 4096},
    {"everything", 1, 1, 4096},
    {"some, pages of 4 KiB", -1, 0.5, 4096},
    {"some, most pages of 4 KiB", -1, 0.9, 4096},
    {"some, sectors of 512 bytes", -1, 0.5, 512},
    {"some, few sectors of 512 bytes", -1, 0.1, 512},
}};

struct Write {
  std::uint64_t at = 0;
  std::string bytes;
  /// In place of bytes: the file ends here.
  bool truncates = false;
};

struct File {
  std::string durable;
  std::vector<Write> pending;
};

/// A change of one folder's names: `from` empty, a name that appears; `to` empty, one that goes.
struct NameChange {
  std::string from, to;
  int file = -1;
  bool folder = false;
};

std::string ParentOf(const std::string& path) { return fs::path(path).parent_path().string(); }

/// What is on the disk, and what is on its way.
class Disk {
 public:
  void Apply(const DiskChange& change) {
    switch (change.kind) {
      case Kind::kCreate:
        files_[change.file];
        Name({"", change.path, change.file});
        break;
      case Kind::kMakeFolder:
        Name({"", change.path, -1, true});
        break;
      case Kind::kRename:
        MovePending(change.path, change.to);
        Name({change.path, change.to, change.file});
        break;
      case Kind::kRemove:
        Name({change.path, "", change.file});
        break;
      case Kind::kWrite:
        files_[change.file].pending.push_back({change.at, change.bytes});
        break;
      case Kind::kTruncate:
        files_[change.file].pending.push_back({change.at, "", true});
        break;
      case Kind::kSync:
        Settle(files_[change.file]);
        break;
      case Kind::kSyncFolder:
        for (const NameChange& one : pending_[change.path]) Take(names_, one);
        pending_.erase(change.path);
        break;
      case Kind::kMark:
        break;
    }
  }

  void Leave(const fs::path& root, const CutPolicy& policy, std::mt19937_64& random) const {
    std::map<std::string, NameChange> names = names_;
    for (const auto& [folder, changes] : pending_) {
      const std::size_t most = changes.size();
      const std::size_t count = policy.names < 0 ? random() % (most + 1) : policy.names > 0 ? most : 0;
      for (std::size_t i = 0; i < count; ++i) Take(names, changes[i]);
    }
    // Parents sort before what is in them.
    for (const auto& [path, name] : names) {
      if (!path.empty() && !fs::exists((root / path).parent_path())) continue;
      if (name.folder) {
        fs::create_directory(root / path);
      } else {
        std::ofstream(root / path, std::ios::binary) << Content(files_.at(name.file), policy, random);
      }
    }
  }

 private:
  using Names = std::map<std::string, NameChange>;

  void Name(NameChange change) {
    const std::string folder = ParentOf(change.to.empty() ? change.from : change.to);
    // A rename from elsewhere is one change, of the folder that it goes to.
    pending_[folder].push_back(std::move(change));
  }

  /// What is on its way in a folder goes with it.
  void MovePending(const std::string& from, const std::string& to) {
    for (auto it = pending_.lower_bound(from); it != pending_.end() && it->first.starts_with(from);) {
      auto folder = pending_.extract(it++);
      const auto renamed = [&](const std::string& path) { return path.empty() ? path : to + path.substr(from.size()); };
      for (NameChange& one : folder.mapped()) {
        one.from = renamed(one.from);
        one.to = renamed(one.to);
      }
      folder.key() = renamed(folder.key());
      pending_.insert(std::move(folder));
    }
  }

  static void Take(Names& names, const NameChange& change) {
    if (change.from.empty()) {
      names[change.to] = change;
      return;
    }
    // With all that is below a folder.
    Names moved;
    for (auto it = names.lower_bound(change.from); it != names.end();) {
      const bool below = it->first == change.from || it->first.starts_with(change.from + "/");
      if (below && !change.to.empty()) moved[change.to + it->first.substr(change.from.size())] = it->second;
      it = below ? names.erase(it) : std::next(it);
    }
    for (auto& [path, name] : moved) names[path] = name;
  }

  static void Put(std::string& content, std::uint64_t at, std::string_view bytes) {
    if (content.size() < at + bytes.size()) content.resize(at + bytes.size(), '\0');
    content.replace(at, bytes.size(), bytes);
  }

  static void Settle(File& file) {
    for (const Write& write : file.pending) {
      if (write.truncates) {
        file.durable.resize(write.at, '\0');
      } else {
        Put(file.durable, write.at, write.bytes);
      }
    }
    file.pending.clear();
  }

  static std::string Content(const File& file, const CutPolicy& policy, std::mt19937_64& random) {
    std::string content = file.durable;
    const bool knows_length = policy.names != 0;
    for (const Write& write : file.pending) {
      if (write.truncates) {
        if (policy.blocks >= 1 || random() % 2 == 0) content.resize(write.at, '\0');
        continue;
      }
      if (knows_length && content.size() < write.at + write.bytes.size() && random() % 2 == 0) {
        content.resize(write.at + write.bytes.size(), '\0');
      }
      for (std::uint64_t done = 0; done < write.bytes.size();) {
        const std::uint64_t at = write.at + done;
        const std::uint64_t size = std::min(policy.block_bytes - at % policy.block_bytes, write.bytes.size() - done);
        const double drawn = static_cast<double>(random() >> 11U) * 0x1p-53;
        if (drawn < policy.blocks) Put(content, at, std::string_view(write.bytes).substr(done, size));
        done += size;
      }
    }
    return content;
  }

  std::map<int, File> files_;
  Names names_;
  std::map<std::string, std::vector<NameChange>> pending_;
};

/// Returns: how many ways there are.
int LeaveInEachWay(const Disk& disk, std::size_t seed, const fs::path& folder, const std::function<void()>& look) {
  for (const CutPolicy& policy : kPolicies) {
    SCOPED_TRACE(std::string("left: ") + policy.name);
    std::mt19937_64 random(seed * kPolicies.size() + static_cast<std::size_t>(&policy - kPolicies.data()));
    fs::remove_all(folder);
    fs::create_directories(folder);
    disk.Leave(folder, policy, random);
    look();
  }
  fs::remove_all(folder);
  return static_cast<int>(kPolicies.size());
}

}  // namespace

fs::path ImageFolder() {
  std::error_code none;
  const fs::path memory = "/dev/shm";
  return (fs::is_directory(memory, none) ? memory : fs::path(::testing::TempDir())) /
         ("ferment-power-cut-" + std::to_string(getpid()));
}

int ForEachCrash(const std::vector<DiskChange>& changes, const fs::path& folder,
                 const std::function<void(int acknowledged)>& look) {
  Disk disk;
  int images = 0;
  int acknowledged = 0;
  for (std::size_t cut = 0; cut <= changes.size(); ++cut) {
    SCOPED_TRACE("cut before change " + std::to_string(cut) + " of " + std::to_string(changes.size()) +
                 ", acknowledged " + std::to_string(acknowledged));
    images += LeaveInEachWay(disk, cut, folder, [&] { look(acknowledged); });
    if (cut == changes.size()) break;
    if (changes[cut].kind == Kind::kMark) ++acknowledged;
    disk.Apply(changes[cut]);
  }
  std::printf("power cuts tried: %d\n", images);
  return images;
}

int ForEachCrashAfterAKill(const KillThenCrash& lives, const fs::path& folder, const std::function<void()>& look) {
  int images = 0;
  for (int call = 1;; ++call) {
    SCOPED_TRACE("killed at call " + std::to_string(call));
    fs::remove_all(lives.worked_in);
    fs::create_directories(lives.worked_in);
    const DiskTape tape(lives.worked_in);
    bool killed = false;
    {
      // The dead change nothing any more.
      const DiskFaults death(lives.worked_in, DiskFaults::Kind::kFailFrom, call, EIO);
      lives.dies();
      killed = death.happened();
    }
    if (!killed) {
      std::printf("power cuts tried: %d, after %d kills\n", images, call - 1);
      return call - 1;
    }
    lives.goes_on();
    Disk disk;
    for (const DiskChange& change : tape.changes()) disk.Apply(change);
    images += LeaveInEachWay(disk, static_cast<std::size_t>(call), folder, look);
  }
}

}  // namespace ferment::testing
