// SPDX-License-Identifier: Apache-2.0
//
// One piece of work, tried with every kind of disk fault at its 1st, 2nd, 3rd ... call, until a try meets none.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "common/base/status.h"
#include "tests/support/disk_faults.h"

namespace ferment::testing {

struct DiskFault {
  const char* name;
  DiskFaults::Kind kind;
  int error;
  /// No call works any more, the removal of what was begun included.
  bool persists;
  /// The work must not notice.
  bool harmless;
  int at = 0;

  /// Returns: whether the fault came while `work` ran.
  bool Strike(const std::filesystem::path& folder, const std::function<void()>& work) const {
    const DiskFaults faults(folder, kind, at, error);
    work();
    return faults.happened();
  }
};

struct Struck {
  bool happened;
  bool failed;
};

constexpr std::array<DiskFault, 8> kDiskFaults = {{
    {"EIO", DiskFaults::Kind::kFail, EIO, false, false},
    {"ENOSPC", DiskFaults::Kind::kFail, ENOSPC, false, false},
    {"EDQUOT", DiskFaults::Kind::kFail, EDQUOT, false, false},
    {"EIO from then on", DiskFaults::Kind::kFailFrom, EIO, true, false},
    {"ENOSPC from then on", DiskFaults::Kind::kFailFrom, ENOSPC, true, false},
    {"EINTR", DiskFaults::Kind::kInterrupt, EINTR, false, true},
    {"short write", DiskFaults::Kind::kShort, 0, false, true},
    {"short write, then ENOSPC", DiskFaults::Kind::kShort, ENOSPC, false, false},
}};

/// Returns: how many tries failed. Prints how many there were.
inline int SweepDiskFaults(const std::function<Struck(const DiskFault&)>& attempt) {
  constexpr int kMostCalls = 1000;
  int tries = 0;
  int failed = 0;
  for (DiskFault fault : kDiskFaults) {
    for (fault.at = 1;; ++fault.at) {
      SCOPED_TRACE(std::string(fault.name) + " at call " + std::to_string(fault.at));
      EXPECT_LT(fault.at, kMostCalls);
      const Struck struck = attempt(fault);
      if (!struck.happened || fault.at >= kMostCalls) break;
      ++tries;
      if (struck.failed) ++failed;
    }
  }
  std::printf("disk faults tried: %d, of which the work failed in %d\n", tries, failed);
  EXPECT_GT(failed, 0);
  return failed;
}

/// A disk that is full or broken is told as that; what a good disk does as well is not told.
inline void ExpectStorageFailure(const Status& status, const DiskFault& fault) {
  if (status.ok()) return;
  EXPECT_FALSE(fault.harmless) << status.ToString();
  EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed) << status.ToString();
  EXPECT_NE(status.message().find('/'), std::string_view::npos) << "it names the file: " << status.ToString();
}

}  // namespace ferment::testing
