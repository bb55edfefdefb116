// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "common/base/random.h"

namespace ferment::testing {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kPage = 4096;

using Kept = PowerCut::Kept;

std::string BytesOf(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Writes a part of `bytes`, whose first belongs at `at`; what lies before and was never written is zeros.
void Overwrite(std::string& file, std::uint64_t at, std::string_view bytes) {
  if (file.size() < at + bytes.size()) file.resize(at + bytes.size());
  file.replace(at, bytes.size(), bytes);
}

}  // namespace

/// Draws what the disk has taken: the same for the same cut.
class DiskModel::Lot {
 public:
  /// `first`, `last`: numbers of the calls that nobody had synced.
  Lot(const PowerCut& cut, std::uint64_t first, std::uint64_t last) : kept_(cut.kept), seed_(cut.seed) {
    constexpr std::array kShares = {0.1, 0.5, 0.9};
    share_ = kShares.at(RandomBits(seed_, kOfAll, 0) % kShares.size());
    torn_ = first + RandomBits(seed_, kOfAll, 1) % (last - first + 1);
  }

  bool KeepsName(std::uint64_t call) const {
    switch (kept_) {
      case Kept::kNothing:
      case Kept::kData:
        return false;
      case Kept::kEverything:
      case Kept::kNames:
      case Kept::kSizes:
        return true;
      case Kept::kUpToASector:
        return call < torn_;
      default:
        return Draw(kOfNames, call);
    }
  }
  bool KeepsSize(std::uint64_t call) const {
    switch (kept_) {
      case Kept::kNothing:
      case Kept::kNames:
        return false;
      case Kept::kEverything:
      case Kept::kData:
      case Kept::kSizes:
        return true;
      case Kept::kUpToASector:
        return call < torn_;
      default:
        return Draw(kOfSizes, call);
    }
  }
  /// Of a write of bytes from `begin` to before `end`, those up to the next border of pieces.
  std::uint64_t PieceEnd(std::uint64_t begin, std::uint64_t end) const {
    if (kept_ != Kept::kSomeSectors && kept_ != Kept::kSomePages && kept_ != Kept::kUpToASector) return end;
    const std::uint64_t piece = kept_ == Kept::kSomePages ? kPage : kSector;
    return std::min(end, (begin / piece + 1) * piece);
  }
  bool KeepsPiece(std::uint64_t call, std::uint64_t begin, std::uint64_t sectors_of_call) const {
    switch (kept_) {
      case Kept::kNothing:
      case Kept::kNames:
      case Kept::kSizes:
        return false;
      case Kept::kEverything:
      case Kept::kData:
        return true;
      case Kept::kUpToASector:
        return call < torn_ ||
               (call == torn_ && begin / kSector < RandomBits(seed_, kOfAll, 2) % (sectors_of_call + 1));
      default:
        return Draw(kOfPieces + call, begin);
    }
  }

 private:
  enum Stream : std::uint64_t { kOfAll, kOfNames, kOfSizes, kOfPieces };
  bool Draw(std::uint64_t stream, std::uint64_t index) const { return RandomUniform(seed_, stream, index) < share_; }

  const Kept kept_;
  const std::uint64_t seed_;
  double share_;
  std::uint64_t torn_;
};

DiskModel::DiskModel(const std::filesystem::path& folder) { Scan(folder); }

std::size_t DiskModel::Scan(const std::filesystem::path& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) throw std::logic_error("not there: " + path.string());
  const std::size_t node = nodes_.size();
  by_inode_[status.st_ino] = node;
  nodes_.push_back({.is_folder = S_ISDIR(status.st_mode)});
  if (!nodes_[node].is_folder) {
    nodes_[node].bytes = BytesOf(path);
    return node;
  }
  Names names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    names[entry.path().filename().string()] = Scan(entry.path());
  }
  nodes_[node].names = nodes_[node].seen = std::move(names);
  return node;
}

DiskModel::Node& DiskModel::FolderOf(const std::filesystem::path& path) {
  std::size_t node = 0;
  for (const auto& name : path.parent_path()) {
    const auto found = nodes_.at(node).seen.find(name.string());
    if (found == nodes_.at(node).seen.end()) throw std::logic_error("made unseen: " + path.string());
    node = found->second;
  }
  return nodes_.at(node);
}

DiskModel::Node& DiskModel::NodeOf(std::uint64_t inode) {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) throw std::logic_error("made unseen: inode=" + std::to_string(inode));
  return nodes_.at(found->second);
}

std::size_t DiskModel::Made(const DiskCall& call, bool is_folder) {
  by_inode_[call.inode] = nodes_.size();
  nodes_.push_back({.is_folder = is_folder});
  return nodes_.size() - 1;
}

void DiskModel::Rename(const Change& change, Names& names) {
  if (!change.removed.empty()) names.erase(change.removed);
  if (!change.given.empty()) names[change.given] = change.node;
}

void DiskModel::Apply(const DiskCall& call) {
  Change change{.number = calls_++, .at = call.at};
  const std::string name = call.path.filename().string();
  switch (call.kind) {
    case DiskCall::Kind::kSync:
      Sync(NodeOf(call.inode));
      return;
    case DiskCall::Kind::kWrite:
      change.bytes = call.bytes;
      [[fallthrough]];
    case DiskCall::Kind::kTruncate:
      NodeOf(call.inode).unsynced.push_back(std::move(change));
      return;
    case DiskCall::Kind::kCreate:
    case DiskCall::Kind::kMakeFolder:
      change.given = name;
      change.node = Made(call, call.kind == DiskCall::Kind::kMakeFolder);
      break;
    case DiskCall::Kind::kRename:
      if (call.to.parent_path() != call.path.parent_path()) throw std::logic_error("to another folder: " + name);
      change.removed = name;
      change.given = call.to.filename().string();
      change.node = FolderOf(call.path).seen.at(name);
      break;
    case DiskCall::Kind::kRemove:
      change.removed = name;
      break;
  }
  Node& folder = FolderOf(call.path);
  Rename(change, folder.seen);
  folder.unsynced.push_back(std::move(change));
}

void DiskModel::Sync(Node& node) {
  const Lot all({.kept = Kept::kEverything}, 0, 0);
  if (node.is_folder) {
    node.names = node.seen;
  } else {
    node.bytes = BytesAfter(node, all);
  }
  node.unsynced.clear();
}

std::string DiskModel::BytesAfter(const Node& node, const Lot& lot) {
  std::string file = node.bytes;
  for (const Change& change : node.unsynced) {
    if (!change.bytes) {
      if (lot.KeepsSize(change.number)) file.resize(change.at);
      continue;
    }
    const std::string_view bytes = *change.bytes;
    const std::uint64_t end = change.at + bytes.size();
    if (lot.KeepsSize(change.number) && file.size() < end) file.resize(end);
    for (std::uint64_t begin = change.at; begin < end;) {
      const std::uint64_t next = lot.PieceEnd(begin, end);
      if (lot.KeepsPiece(change.number, begin - change.at, (bytes.size() + kSector - 1) / kSector)) {
        Overwrite(file, begin, bytes.substr(begin - change.at, next - begin));
      }
      begin = next;
    }
  }
  return file;
}

void DiskModel::Put(std::size_t number, const std::filesystem::path& path, const Lot& lot, DiskTree& tree) const {
  const Node& node = nodes_.at(number);
  if (!node.is_folder) {
    tree[path] = BytesAfter(node, lot);
    return;
  }
  if (!path.empty()) tree[path] = std::nullopt;
  Names names = node.names;
  for (const Change& change : node.unsynced) {
    if (lot.KeepsName(change.number)) Rename(change, names);
  }
  for (const auto& [name, below] : names) Put(below, path / name, lot, tree);
}

DiskTree DiskModel::After(const PowerCut& cut) const {
  std::uint64_t first = calls_;
  for (const Node& node : nodes_) {
    if (!node.unsynced.empty()) first = std::min(first, node.unsynced.front().number);
  }
  DiskTree tree;
  Put(0, {}, Lot(cut, first, calls_), tree);
  return tree;
}

DiskTree ReadTree(const std::filesystem::path& folder) {
  DiskTree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const bool is_folder = entry.is_directory();
    tree[entry.path().lexically_relative(folder)] = is_folder ? std::optional<std::string>() : BytesOf(entry.path());
  }
  return tree;
}

void WriteTree(const std::filesystem::path& folder, const DiskTree& tree) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& [path, bytes] : tree) {
    if (bytes) {
      std::ofstream(folder / path, std::ios::binary) << *bytes;
    } else {
      std::filesystem::create_directory(folder / path);
    }
  }
}

}  // namespace ferment::testing
