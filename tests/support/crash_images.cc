// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_images.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <set>
#include <utility>

namespace ferment::testing {
namespace {

using Kept = PowerCut::Kept;

constexpr std::array kWays = {Kept::kNothing,   Kept::kEverything,  Kept::kNames,     Kept::kData,       Kept::kSizes,
                              Kept::kSomeCalls, Kept::kSomeSectors, Kept::kSomePages, Kept::kUpToASector};
constexpr std::array kNames = {"nothing",    "everything",   "names",      "data",          "sizes",
                               "some calls", "some sectors", "some pages", "up to a sector"};
/// Those before it need no lot.
constexpr std::size_t kFirstByLot = 5;

std::size_t HashOf(const DiskTree& tree, int acknowledged) {
  std::string all = std::to_string(acknowledged);
  for (const auto& [path, bytes] : tree) {
    all += '\n' + path.string() + (bytes ? " file " + std::to_string(bytes->size()) + ' ' + *bytes : " folder");
  }
  return std::hash<std::string>()(all);
}

}  // namespace

std::filesystem::path FreshImageFolder(const std::string& name) {
  const bool in_memory = ::access("/dev/shm", W_OK | X_OK) == 0;
  const auto folder = std::filesystem::path(in_memory ? "/dev/shm" : ::testing::TempDir()) /
                      ("ferment-test-" + name + "-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

CrashImages::CrashImages(std::filesystem::path folder)
    : folder_(std::move(folder)),
      before_(folder_),
      watch_(std::make_unique<DiskFaults>(folder_, [this](DiskCall call) { calls_.push_back(std::move(call)); })) {}

bool CrashImages::Kill(int at, const std::function<void()>& life) {
  watch_->FailFrom(at);
  life();
  const bool killed = watch_->happened();
  watch_->FailFrom(0);
  return killed;
}

void CrashImages::Stop() { watch_ = nullptr; }

bool CrashImages::SawAll(const std::vector<std::filesystem::path>& unseen) const {
  DiskModel model = before_;
  for (const DiskCall& call : calls_) model.Apply(call);
  DiskTree there = ReadTree(folder_);
  for (const auto& path : unseen) there.erase(path);
  return model.After({.kept = Kept::kEverything}) == there;
}

CrashReport CrashImages::Try(int seeds, const std::function<std::string(int acknowledged)>& fault, int from) const {
  CrashReport report;
  std::set<std::size_t> tried;
  DiskModel model = before_;
  int acknowledged = 0;
  std::uint64_t seed = 0;
  const auto attempt = [&](std::size_t made, std::size_t way) {
    const DiskTree image = model.After({.kept = kWays.at(way), .seed = ++seed});
    if (!tried.insert(HashOf(image, acknowledged)).second) return;
    WriteTree(folder_, image);
    const DiskFaults without_syncs(folder_, [](const DiskCall&) {});
    const std::string wrong = fault(acknowledged);
    ++report.images;
    if (wrong.empty() || report.broken++ > 0) return;
    report.first = wrong + ": calls=" + std::to_string(made) + " kept=" + kNames.at(way) +
                   " seed=" + std::to_string(seed) + " acknowledged=" + std::to_string(acknowledged);
  };
  for (std::size_t made = 0; made <= calls_.size(); ++made) {
    if (made > 0) model.Apply(calls_[made - 1]);
    while (static_cast<std::size_t>(acknowledged) < acknowledged_at_.size() &&
           acknowledged_at_[static_cast<std::size_t>(acknowledged)] <= made) {
      ++acknowledged;
    }
    if (acknowledged < from) continue;
    for (std::size_t way = 0; way < kWays.size(); ++way) {
      for (int i = 0; i < (way < kFirstByLot ? 1 : seeds); ++i) attempt(made, way);
    }
  }
  std::printf("crash images: %d of %zu calls, %d broken\n", report.images, calls_.size(), report.broken);
  return report;
}

}  // namespace ferment::testing
