// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_event.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "common/base/json.h"
#include "tests/support/tensorboard_reader.h"

namespace ferment::worker {
namespace {

constexpr WallTime kNow{std::chrono::seconds(1'700'000'000)};
/// Bytes of a record beside its data.
constexpr std::size_t kFrame = 16;

std::string ReadBytes(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Returns: the events of these records.
std::vector<tensorboard::Event> Read(const std::string& records) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "tensorboard_event_test";
  std::ofstream(file) << records;
  return testing::ReadTensorboardFile(file);
}

// TensorBoard's own library has written the fixture: the version, scalars, then kinds that are not written here.
TEST(TensorboardEvent, RecordsAreTheBytesOfTheReferenceLibrary) {
  const std::filesystem::path folder = FERMENT_FIXTURES "/tensorboard";
  const Json expected = ParseJson(ReadBytes(folder / "expected.json")).value();
  std::string bytes;
  for (const auto& [tag, points] : expected["scalars"].items()) {
    for (const Json& point : points) {
      const auto at = std::chrono::duration<double>(point["wall_time"].get<double>());
      // The last point's year is one that the clock does not reach.
      if (at >= WallTime::max().time_since_epoch()) continue;
      bytes += ScalarsRecord(WallTime(std::chrono::duration_cast<WallTime::duration>(at)), point["step"],
                             {{tag, point["value"]}});
    }
  }
  EXPECT_GT(bytes.size(), 900U);
  const std::filesystem::path file = folder / expected["file"].get<std::string>();
  const std::string fixture = ReadBytes(file);
  // Its version also names the class that wrote it.
  const auto events = testing::ReadTensorboardFile(file);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(fixture.substr(kFrame + events[0].ByteSizeLong(), bytes.size()), bytes);
  tensorboard::Event version = events[0];
  version.DiscardUnknownFields();
  EXPECT_EQ(Read(VersionRecord(kNow)).at(0).SerializeAsString(), version.SerializeAsString());
}

TEST(TensorboardEvent, ARestartSaysFromWhichStepItCounts) {
  const auto events = Read(RestartRecord(kNow + std::chrono::milliseconds(250), 7));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(events[0].step(), 7);
  EXPECT_NEAR(events[0].wall_time(), 1'700'000'000.25, 1e-6);
}

TEST(TensorboardEvent, FiguresOfAStepAreOneRecordWithoutThoseThatAreNotFinite) {
  const auto events = Read(ScalarsRecord(kNow, 3,
                                         {{"a/nan", std::nan("")},
                                          {"a/large", 1e300},
                                          {"a/minus", -std::numeric_limits<double>::infinity()},
                                          {"a/one", 1},
                                          {"a/zero", 0}}));
  ASSERT_EQ(events.size(), 1U);
  ASSERT_EQ(events[0].summary().value_size(), 2);
  EXPECT_EQ(events[0].summary().value(0).tag(), "a/one");
  EXPECT_EQ(events[0].summary().value(1).tag(), "a/zero");
  EXPECT_TRUE(events[0].summary().value(1).has_simple_value());
}

TEST(TensorboardEvent, EveryFigureHasASectionAndKeepsItsName) {
  for (const char* tag :
       {"loss/loss", "loss/student_loss", "loss/feedback_loss", "loss/loss_static", "validation/macro_f1",
        "validation/macro_f1_student", "learning_rate/lr", "learning_rate/lr_teacher", "gradient/grad_norm_teacher",
        "feedback/h", "feedback/h_raw", "feedback/baseline", "feedback/feedback_cosine", "training/accepted",
        "training/stage", "training/of_a_later_version"}) {
    EXPECT_EQ(TagOf(std::filesystem::path(tag).filename().string()), tag);
  }
}

}  // namespace
}  // namespace ferment::worker
