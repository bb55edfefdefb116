// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "tests/support/disk_faults.h"
#include "tests/support/manual_clock.h"
#include "tests/support/tensorboard_reader.h"
#include "worker/tensorboard/tensorboard_event.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;
using testing::ReadTensorboard;
using testing::Scalars;
using testing::TensorboardFiles;

class TensorboardFileTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Status Append(TensorboardFile& file, std::uint64_t step) {
    return file.Append(ScalarsRecord(clock_.WallNow(), step, {{"loss/loss", static_cast<double>(step)}}), step);
  }
  /// Writes these steps as one process does.
  void Live(std::uint64_t first, std::uint64_t last) {
    TensorboardFile file(folder_, first, clock_);
    for (std::uint64_t step = first; step <= last; ++step) EXPECT_TRUE(Append(file, step).ok()) << step;
  }
  static Scalars Steps(const std::vector<std::int64_t>& steps) {
    Scalars scalars;
    for (const std::int64_t step : steps) scalars["loss/loss"][step] = static_cast<float>(step);
    return scalars;
  }

  const std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) / "tensorboard_file_test" / "job";
  testing::ManualClock clock_;
};

TEST_F(TensorboardFileTest, IsNamedAndBeginsAsTensorBoardWantsIt) {
  { const TensorboardFile never_written(folder_, 0, clock_); }
  EXPECT_FALSE(std::filesystem::exists(folder_));
  Live(4, 4);
  const auto files = TensorboardFiles(folder_);
  ASSERT_EQ(files.size(), 1U);
  std::array<char, 256> host = {};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(files[0].filename(),
            "events.out.tfevents.1700001000." + std::string(host.data()) + "." + std::to_string(getpid()) + ".0");
  const auto events = testing::ReadTensorboardFile(files[0]);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(events[1].step(), 4);
  EXPECT_EQ(events[2].summary().value(0).simple_value(), 4);
}

TEST_F(TensorboardFileTest, StepsThatAreRepeatedCountInPlaceOfThoseBefore) {
  Live(0, 5);
  Live(3, 4);
  EXPECT_EQ(TensorboardFiles(folder_).size(), 2U);
  EXPECT_EQ(ReadTensorboard(folder_), Steps({0, 1, 2, 3, 4}));
}

TEST_F(TensorboardFileTest, ALaterFileIsLaterInNameAlsoWhereAnotherHostsClockIsBehind) {
  Live(0, 5);
  clock_.Advance(std::chrono::hours(-1));
  Live(3, 4);
  Live(0, 0);
  EXPECT_EQ(ReadTensorboard(folder_), Steps({0}));
  std::ofstream(folder_ / "events.out.tfevents.nonsense");
  std::ofstream(folder_ / "notes");
  Live(1, 1);
  EXPECT_EQ(ReadTensorboard(folder_), Steps({0, 1}));
}

TEST_F(TensorboardFileTest, WhateverCallOfTheDiskFailsWhatWasWrittenIsReadAndWhatWasNotIsNot) {
  int failed = 0;
  for (const auto kind : {DiskFaults::Kind::kFail, DiskFaults::Kind::kShort, DiskFaults::Kind::kInterrupt}) {
    for (int call = 1;; ++call) {
      SCOPED_TRACE(call);
      std::filesystem::remove_all(folder_);
      std::vector<std::int64_t> written;
      {
        const DiskFaults faults(folder_, kind, call, ENOSPC);
        TensorboardFile file(folder_, 0, clock_);
        for (std::uint64_t step = 0; step < 4; ++step) {
          const Status status = Append(file, step);
          if (status.ok()) {
            written.push_back(static_cast<std::int64_t>(step));
            continue;
          }
          ++failed;
          EXPECT_NE(status.message().find(folder_.string()), std::string_view::npos) << status.ToString();
          EXPECT_NE(kind, DiskFaults::Kind::kInterrupt);
        }
        if (!faults.happened()) break;
      }
      EXPECT_GE(written.size(), 3U);
      EXPECT_EQ(ReadTensorboard(folder_), Steps(written));
    }
  }
  EXPECT_GT(failed, 10);
}

TEST_F(TensorboardFileTest, ADiskThatStaysFullHasNoFileForEachAttempt) {
  TensorboardFile file(folder_, 0, clock_);
  for (int attempt = 0; attempt < 3; ++attempt) {
    // Of the beginning the first write is short, so that there is a second, for which there is no space.
    const DiskFaults faults(folder_, DiskFaults::Kind::kShort, 1, ENOSPC);
    EXPECT_EQ(Append(file, 0).code(), StatusCode::kResourceExhausted);
  }
  EXPECT_THAT(TensorboardFiles(folder_), ::testing::IsEmpty());
  EXPECT_TRUE(Append(file, 1).ok());
  EXPECT_EQ(ReadTensorboard(folder_), Steps({1}));
}

}  // namespace
}  // namespace ferment::worker
