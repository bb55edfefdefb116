// SPDX-License-Identifier: Apache-2.0
//
// A folder as its disk has it: what was synced, and each later change, which a power cut may take back or not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/disk_faults.h"

namespace ferment::testing {

/// By path below the folder, parents first: a file's bytes; nothing: a folder.
using DiskTree = std::map<std::filesystem::path, std::optional<std::string>>;

/// What of the changes that nobody had synced the disk had taken by itself when the power went.
struct PowerCut {
  enum class Kept {
    kNothing,
    /// What a killed process leaves.
    kEverything,
    /// Names alone: files that are empty, or as they were synced.
    kNames,
    /// Data alone: files under the names that were synced.
    kData,
    /// Names and sizes; zeros where bytes would have been added.
    kSizes,
    /// Each call or not, by lot. Sizes may have been taken without the bytes.
    kSomeCalls,
    /// The same of each piece of 512 bytes of a file, and of each name.
    kSomeSectors,
    /// The same of each piece of 4 KiB.
    kSomePages,
    /// Calls in their order, until in the middle of one, at a sector's end.
    kUpToASector,
  };
  Kept kept;
  std::uint64_t seed = 0;
};

/// A value. What it takes for possible is what POSIX leaves open, which is more than journals do: names of one folder
/// are kept or not one by one, and a file's sync says nothing of its name. Whole sectors are old, new or zeros; what
/// was synced stays as it is.
class DiskModel {
 public:
  /// What is in the folder counts as synced.
  explicit DiskModel(const std::filesystem::path& folder);

  /// Throws std::logic_error for what the model does not have: links, names that go from one folder to another, and
  /// files that were made unseen.
  void Apply(const DiskCall& call);

  /// Returns: what is there after the power cut.
  DiskTree After(const PowerCut& cut) const;

 private:
  /// A write or a truncation of a file, or a name of a folder given, taken away, or both (a rename).
  struct Change {
    std::uint64_t number;
    std::uint64_t at = 0;
    /// Nothing: a truncation.
    std::optional<std::string> bytes = {};
    std::string removed = {};
    std::string given = {};
    std::size_t node = 0;
  };
  using Names = std::map<std::string, std::size_t>;
  struct Node {
    bool is_folder = false;
    std::string bytes = {};
    Names names = {};
    std::vector<Change> unsynced = {};
    /// Of a folder: as programs see it.
    Names seen = {};
  };
  class Lot;

  std::size_t Scan(const std::filesystem::path& path);
  std::size_t Made(const DiskCall& call, bool is_folder);
  Node& FolderOf(const std::filesystem::path& path);
  Node& NodeOf(std::uint64_t inode);
  static void Rename(const Change& change, Names& names);
  void Sync(Node& node);
  static std::string BytesAfter(const Node& node, const Lot& lot);
  void Put(std::size_t node, const std::filesystem::path& path, const Lot& lot, DiskTree& tree) const;

  std::vector<Node> nodes_;
  std::map<std::uint64_t, std::size_t> by_inode_;
  std::uint64_t calls_ = 0;
};

/// Returns: what the folder holds.
DiskTree ReadTree(const std::filesystem::path& folder);
/// Replaces the folder.
void WriteTree(const std::filesystem::path& folder, const DiskTree& tree);

}  // namespace ferment::testing
