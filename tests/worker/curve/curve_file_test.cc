// SPDX-License-Identifier: Apache-2.0
#include "worker/curve/curve_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <optional>
#include <vector>

#include "common/base/json.h"
#include "common/io/local_file_system.h"
#include "tests/support/disk_fault_sweep.h"

namespace ferment::worker {
namespace {

using Steps = std::vector<std::uint64_t>;

class CurveFileTest : public ::testing::Test {
 protected:
  CurveFileTest() { std::filesystem::remove_all(folder_); }
  ~CurveFileTest() override { std::filesystem::remove_all(folder_); }

  static Status Append(CurveFile& file, std::uint64_t step) {
    return file.Append(CurveRow(step, {{"loss", 1.0 / static_cast<double>(step + 1)}}), step);
  }
  /// Writes these steps as one process does.
  void Live(std::uint64_t first, std::uint64_t last) {
    CurveFile file(path_, first, [] { return Status(); });
    for (std::uint64_t step = first; step <= last; ++step) EXPECT_TRUE(Append(file, step).ok()) << step;
  }
  Steps Rows() const {
    Steps steps;
    std::ifstream curve(path_);
    for (std::string line; std::getline(curve, line);) steps.push_back(ParseJson(line).value()["step"]);
    return steps;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("curve_file_test-" + std::to_string(getpid()));
  const std::filesystem::path path_ = folder_ / "logs" / "curve-teacher.jsonl";
};

TEST_F(CurveFileTest, ARowHasTheStepAndTheFiguresThatAreFinite) {
  EXPECT_EQ(CurveRow(7, {{"h", -0.5}, {"loss", std::nan("")}}), "{\"step\":7,\"h\":-0.5}\n");
}

TEST_F(CurveFileTest, AProcessThatGoesOnKeepsTheWholeRowsBeforeItsFirstStepAlone) {
  {
    const CurveFile never_written(path_, 0, [] { return Status(); });
  }
  EXPECT_FALSE(std::filesystem::exists(folder_));
  Live(0, 5);
  std::ofstream(path_, std::ios::app) << "not json\n{\"step\": -1}\n[]\n{\"step\": 3, \"lo";
  Live(4, 4);
  EXPECT_EQ(Rows(), (Steps{0, 1, 2, 3, 4}));
  Live(0, 0);
  EXPECT_EQ(Rows(), (Steps{0}));
}

TEST_F(CurveFileTest, WhatAFormerTrainerWritesLaterIsNotInIt) {
  CurveFile former(path_, 0, [] { return Status(); });
  EXPECT_TRUE(Append(former, 0).ok());
  Live(0, 3);
  EXPECT_TRUE(Append(former, 1).ok());
  EXPECT_EQ(Rows(), (Steps{0, 1, 2, 3}));
}

TEST_F(CurveFileTest, AFormerTrainerThatBeginsLateLeavesItAsItIs) {
  Live(0, 3);
  CurveFile former(path_, 0, [] { return AbortedError("the job is another's"); });
  EXPECT_EQ(Append(former, 0).code(), StatusCode::kAborted);
  EXPECT_EQ(Rows(), (Steps{0, 1, 2, 3}));

  // Let pass, and stopped until a later one has begun.
  int asked = 0;
  CurveFile stopped(path_, 0, [&] {
    if (++asked == 2) Live(4, 5);
    return Status();
  });
  EXPECT_FALSE(Append(stopped, 0).ok());
  EXPECT_EQ(Rows(), (Steps{0, 1, 2, 3, 4, 5}));
}

TEST_F(CurveFileTest, WhateverCallOfTheDiskFailsItHasTheRowsThatItTookAndNoOthers) {
  (void)testing::SweepDiskFaults([&](const testing::DiskFault& fault) {
    std::filesystem::remove_all(folder_);
    Steps taken;
    Status failure;
    const bool happened = fault.Strike(folder_, [&] {
      CurveFile file(path_, 0, [] { return Status(); });
      for (std::uint64_t step = 0; step < 8; ++step) {
        if (Status appended = Append(file, step); appended.ok()) {
          taken.push_back(step);
        } else {
          failure = appended;
        }
      }
    });
    testing::ExpectStorageFailure(failure, fault);
    EXPECT_TRUE(fault.persists || taken.size() >= 7) << taken.size();
    CurveFile file(path_, 8, [] { return Status(); });
    EXPECT_TRUE(Append(file, 8).ok());
    taken.push_back(8);
    EXPECT_EQ(Rows(), taken);
    return testing::Struck{happened, !failure.ok()};
  });
}

}  // namespace
}  // namespace ferment::worker
