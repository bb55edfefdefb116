// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_writer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "tests/support/disk_faults.h"
#include "tests/support/tensorboard_reader.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;
using testing::ReadTensorboard;

int Occurrences(const std::string& what, const std::string& text) {
  int count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

class TensorboardWriterTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void Await(const std::function<bool()>& happened) {
    while (!happened()) std::this_thread::yield();
  }

  const std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) / "tensorboard_writer_test" / "job";
};

TEST_F(TensorboardWriterTest, HasWrittenAllWhenItIsDestroyed) {
  testing::Scalars expected;
  {
    TensorboardWriter writer(folder_, 0);
    for (int step = 0; step < 500; ++step) {
      writer.Write(static_cast<std::uint64_t>(step), {{"loss", 1.0 / (1 + step)}, {"lr", 0.5}});
      expected["loss/loss"][step] = static_cast<float>(1.0 / (1 + step));
      expected["learning_rate/lr"][step] = 0.5;
    }
    EXPECT_EQ(writer.dropped(), 0U);
  }
  EXPECT_EQ(ReadTensorboard(folder_), expected);
  EXPECT_EQ(testing::TensorboardFiles(folder_).size(), 1U);
}

TEST_F(TensorboardWriterTest, WithoutFiguresThereIsNoFile) {
  { const TensorboardWriter writer(folder_, 0); }
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

TEST_F(TensorboardWriterTest, ADiskThatStandsStillHoldsNobodyUpAndWhatDoesNotFitIsCounted) {
  ::testing::internal::CaptureStderr();
  std::uint64_t dropped = 0;
  {
    DiskFaults faults(folder_, DiskFaults::Kind::kHold, 1);
    TensorboardWriter writer(folder_, 0, {.most_pending_bytes = 1000, .farewell = std::chrono::hours(1)});
    writer.Write(0, {{"loss", 1}});
    Await([&] { return faults.happened(); });
    for (std::uint64_t step = 1; step < 100; ++step) writer.Write(step, {{"loss", 1}});
    dropped = writer.dropped();
    faults.Release();
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  const auto written = ReadTensorboard(folder_)["loss/loss"];
  ASSERT_FALSE(written.empty());
  EXPECT_GT(dropped, 50U);
  EXPECT_LT(dropped, 99U);
  EXPECT_EQ(written.size(), 100 - dropped);
  EXPECT_EQ(written.rbegin()->first, 99 - static_cast<std::int64_t>(dropped)) << "the first are kept";
  EXPECT_EQ(Occurrences("tensorboard_not_written", log), 1) << log;
  EXPECT_EQ(Occurrences("slower than the training", log), 1) << log;
  EXPECT_EQ(Occurrences("steps_left_out=" + std::to_string(dropped), log), 1) << log;
}

TEST_F(TensorboardWriterTest, ADiskThatStandsStillKeepsNoProcessFromLeaving) {
  ::testing::internal::CaptureStderr();
  DiskFaults faults(folder_, DiskFaults::Kind::kHold, 1);
  {
    TensorboardWriter writer(folder_, 0, {.farewell = std::chrono::milliseconds(1)});
    writer.Write(0, {{"loss", 1}});
    Await([&] { return faults.happened(); });
    writer.Write(1, {{"loss", 1}});
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(Occurrences("steps_left_out=2", log), 1) << log;
  faults.Release();
  // The thread is still there, and writes what it had begun to.
  Await([&] { return ReadTensorboard(folder_).contains("loss/loss"); });
  EXPECT_EQ(ReadTensorboard(folder_)["loss/loss"].size(), 1U);
}

// What logs may be gone by then.
TEST_F(TensorboardWriterTest, WhatFailsWhenTheProcessIsBeingLeftIsNotLogged) {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const auto before = threads();
  DiskFaults faults(folder_, DiskFaults::Kind::kHold, 1);
  {
    TensorboardWriter writer(folder_, 0, {.farewell = std::chrono::milliseconds(1)});
    writer.Write(0, {{"loss", 1}});
    Await([&] { return faults.happened(); });
  }
  // In the place of the folder that the thread is about to make.
  std::ofstream(folder_).flush();
  ::testing::internal::CaptureStderr();
  faults.Release();
  Await([&] { return threads() == before; });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(TensorboardWriterTest, ADiskThatFailsIsToldOfOnceAndTriedAgain) {
  ::testing::internal::CaptureStderr();
  std::uint64_t dropped = 0;
  {
    TensorboardWriter writer(folder_, 0);
    std::uint64_t step = 0;
    {
      const DiskFaults faults(folder_, DiskFaults::Kind::kFailFrom, 1, ENOSPC);
      for (; step < 20; ++step) {
        writer.Write(step, {{"loss", 1}});
        Await([&] { return writer.dropped() == step + 1; });
      }
    }
    for (; step < 30; ++step) writer.Write(step, {{"loss", 1}});
    dropped = writer.dropped();
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(dropped, 20U);
  EXPECT_EQ(ReadTensorboard(folder_)["loss/loss"].size(), 10U);
  EXPECT_EQ(Occurrences("tensorboard_not_written", log), 1) << log;
  EXPECT_EQ(Occurrences(folder_.string(), log), 3) << log;
  EXPECT_EQ(Occurrences("steps_left_out=20", log), 1) << log;
}

}  // namespace
}  // namespace ferment::worker
