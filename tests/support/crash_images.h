// SPDX-License-Identifier: Apache-2.0
//
// Power cuts without a plug: what a folder can hold after one, at each point of some recorded work.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/disk_faults.h"
#include "tests/support/disk_model.h"

namespace ferment::testing {

struct CrashReport {
  /// Different folders, or the same with more acknowledged.
  int images = 0;
  int broken = 0;
  /// What was wrong with the first broken one, and where it comes from.
  std::string first;
};

/// Returns: an empty folder, in memory where the machine has /dev/shm: images are many, and nobody cuts its power.
std::filesystem::path FreshImageFolder(const std::string& name);

/// Records each change of a folder below the test's calls, while it lives or until Stop.
///
/// Seen is what disk_faults.cc stands in for: neither mapped memory nor streams (fopen), which SawAll would tell.
/// Thread: one; the work may have others, which have ended when Stop is called.
class CrashImages {
 public:
  explicit CrashImages(std::filesystem::path folder);
  CrashImages(const CrashImages&) = delete;
  CrashImages& operator=(const CrashImages&) = delete;

  /// What was done so far has been acknowledged: one more thing that must survive.
  void Acknowledge() { acknowledged_at_.push_back(calls_.size()); }
  /// A kill before the power cut: `life` is over at its n-th call; what it leaves unsynced stays so. Returns: whether
  /// there was an n-th call.
  bool Kill(int at, const std::function<void()>& life);
  void Stop();
  /// Returns: whether the folder, with the recorded calls made in order, is as it really is. Requires: Stop, and no
  /// change since. Those of `unseen` may be left out.
  bool SawAll(const std::vector<std::filesystem::path>& unseen = {}) const;

  /// Puts each image in the folder's place, syncs below it being left out meanwhile, and calls `fault`, which says what
  /// is wrong, or nothing. `seeds`: how often each way by lot is drawn at each point. `from`: acknowledgements before
  /// the first cut. Prints how many images there were. Requires: Stop.
  CrashReport Try(int seeds, const std::function<std::string(int acknowledged)>& fault, int from = 0) const;

 private:
  const std::filesystem::path folder_;
  const DiskModel before_;
  std::vector<DiskCall> calls_;
  std::vector<std::size_t> acknowledged_at_;
  std::unique_ptr<DiskFaults> watch_;
};

}  // namespace ferment::testing
