// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/json.h"
#include "common/io/audit_log.h"
#include "tests/support/manual_clock.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A log of nine lines in three files, of four, three and two; the first line of the latter two is the rotation's.
class RotatedAuditLog : public ::testing::Test {
 protected:
  RotatedAuditLog() {
    fs::remove_all(file_.parent_path());
    fs::create_directories(file_.parent_path());
    const auto log = Open();
    Append(*log, 4);
    Move(first_);
    Rotate(*log);
    Append(*log, 2);
    Move(second_);
    Rotate(*log);
    Append(*log, 1);
  }
  std::unique_ptr<AuditLog> Open() const {
    auto log = AuditLog::Open(file_, clock_);
    EXPECT_TRUE(log) << (log ? "" : log.error().ToString());
    return log ? std::move(*log) : nullptr;
  }
  static void Append(AuditLog& log, int lines) {
    for (int i = 0; i < lines; ++i) ASSERT_TRUE(log.Append({"ann", "operator", "m", "run", "OK"}).ok());
  }
  static void Rotate(AuditLog& log) { ASSERT_TRUE(log.Rotate({"coordinator", "", "audit.rotated", "", "OK"}).ok()); }
  void Move(const fs::path& to) const { fs::rename(file_, to); }
  static std::string Fault(const std::vector<fs::path>& files, const KnownHeads& known = {}) {
    const auto summary = VerifyAuditLog(files, known);
    return summary ? "none" : std::string(summary.error().message());
  }
  static std::string TextOf(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  const fs::path file_ = fs::path(::testing::TempDir()) / "rotated_audit_log" / "audit.jsonl";
  const ferment::testing::ManualClock clock_;
  const fs::path first_ = file_.string() + ".first";
  const fs::path second_ = file_.string() + ".second";
};

TEST_F(RotatedAuditLog, IsOneChainOverItsFiles) {
  const auto summary = VerifyAuditLog({first_, second_, file_});
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->lines, 9U);
  EXPECT_EQ(summary->first, 1U);
  const std::string text = TextOf(file_);
  const auto first_line = ParseJson(text.substr(0, text.find('\n')));
  ASSERT_TRUE(first_line);
  EXPECT_EQ((*first_line)["line"], 8);
  EXPECT_EQ((*first_line)["method"], "audit.rotated");
  EXPECT_EQ((*first_line)["before"], VerifyAuditLog({first_, second_})->head);
  struct stat status {};
  ASSERT_EQ(::stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(RotatedAuditLog, GoesOnAfterARestartWhereItsLastFileEnds) {
  Append(*Open(), 2);
  EXPECT_EQ(VerifyAuditLog({first_, second_, file_})->lines, 11U);
  const fs::path third = file_.string() + ".third";
  {
    const auto log = Open();
    Move(third);
    Rotate(*log);
  }
  Append(*Open(), 1);  // and where nobody called since
  EXPECT_EQ(Fault({first_, second_, third, file_}), "none");
}

TEST_F(RotatedAuditLog, NamesLinesThatAreLostBetweenTwoFiles) {
  std::string text = TextOf(second_);
  text.erase(text.rfind('\n', text.size() - 2) + 1);
  std::ofstream(second_, std::ios::binary) << text;
  EXPECT_THAT(Fault({first_, second_, file_}),
              HasSubstr("file=" + file_.string() + " line=7: before it the lines 7 to 7 are missing"));
}

TEST_F(RotatedAuditLog, NamesTheLinesOfAFileThatIsDroppedFromTheMiddle) {
  EXPECT_THAT(Fault({first_, file_}),
              HasSubstr("file=" + file_.string() + " line=5: before it the lines 5 to 7 are missing"));
}

TEST_F(RotatedAuditLog, TakesItsFilesInTheirOrderAlone) {
  EXPECT_THAT(Fault({first_, file_, second_}), HasSubstr("line=5: before it the lines 5 to 7 are missing"));
  EXPECT_THAT(Fault({second_, first_, file_}), HasSubstr("line=1: before it the lines 1 to 4 are missing"));
  EXPECT_THAT(Fault({first_, first_}), HasSubstr("line=5: it is out of order, it was written as line 1"));
}

TEST_F(RotatedAuditLog, NamesAFileThatWasReplacedByOneOfAnotherLog) {
  const fs::path mine = file_.string() + ".mine";
  Move(mine);
  for (const fs::path& file : {first_, second_}) fs::rename(file, file.string() + ".mine");
  {
    const auto log = Open();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(log->Append({"eve", "reader", "x", "", "OK"}).ok());
  }
  EXPECT_THAT(Fault({file_, second_.string() + ".mine", mine}),
              HasSubstr("line=5: it does not follow line 4, which was replaced"));
}

TEST_F(RotatedAuditLog, WithoutItsBeginningIsTakenBehindTheHeadThatWasKeptAlone) {
  const std::string kept = VerifyAuditLog({first_})->head;
  EXPECT_THAT(Fault({second_, file_}), HasSubstr("line=1: before it the lines 1 to 4 are missing; name the file"));
  EXPECT_THAT(Fault({second_, file_}), HasSubstr("head=" + kept));
  const auto summary = VerifyAuditLog({second_, file_}, {.kept = kept, .after = kept});
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->first, 5U);
  EXPECT_EQ(summary->lines, 9U);
  EXPECT_THAT(Fault({file_}, {.kept = "", .after = kept}),
              HasSubstr("line=8: it does not go on behind head=" + kept + " but behind head="));
}

TEST_F(RotatedAuditLog, AHeadThatWasKeptMayBeInAnyOfItsFiles) {
  for (const std::string& kept : {VerifyAuditLog({first_})->head, VerifyAuditLog({first_, second_, file_})->head}) {
    EXPECT_EQ(Fault({first_, second_, file_}, {.kept = kept, .after = ""}), "none");
  }
  EXPECT_THAT(Fault({first_, second_}, {.kept = VerifyAuditLog({first_, second_, file_})->head, .after = ""}),
              HasSubstr("file=" + second_.string() + " line=7: behind it lines are missing"));
}

TEST_F(RotatedAuditLog, StaysInItsFileWhereThatWasNotMoved) {
  const auto log = Open();
  const std::string former = TextOf(file_);
  Rotate(*log);
  EXPECT_EQ(TextOf(file_), former);
  Append(*log, 1);
  EXPECT_EQ(Fault({first_, second_, file_}), "none");
}

TEST_F(RotatedAuditLog, GoesOnInTheMovedFileUntilThereIsPlaceForANewOne) {
  const fs::path moved = file_.string() + ".moved";
  const auto log = Open();
  Move(moved);
  std::ofstream(file_) << "somebody else's\n";
  Rotate(*log);
  Append(*log, 1);
  EXPECT_EQ(TextOf(file_), "somebody else's\n");
  fs::remove(file_);
  fs::create_directory(file_);
  Rotate(*log);
  Append(*log, 1);
  fs::remove(file_);
  {
    const auto other = AuditLog::Open(file_, clock_);
    ASSERT_TRUE(other);
    Rotate(*log);
    Append(*log, 1);
    EXPECT_EQ(TextOf(file_), "") << "another process has it";
  }
  EXPECT_EQ(VerifyAuditLog({first_, second_, moved})->lines, 12U);
  Rotate(*log);
  Append(*log, 1);
  const auto summary = VerifyAuditLog({first_, second_, moved, file_});
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->lines, 14U);
}

TEST_F(RotatedAuditLog, LeavesTheMovedFileToOthersAndHoldsTheNewOne) {
  const fs::path moved = file_.string() + ".moved";
  const auto log = Open();
  Move(moved);
  Rotate(*log);
  EXPECT_TRUE(AuditLog::Open(moved, clock_));
  const auto second = AuditLog::Open(file_, clock_);
  ASSERT_FALSE(second);
  EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kFenced);
}

TEST_F(RotatedAuditLog, LosesAndDoublesNoLineUnderManyWriters) {
  constexpr int kWriters = 4;
  constexpr int kLines = 200;
  constexpr int kRotations = 10;
  std::vector<fs::path> files = {first_, second_};
  {
    const auto log = Open();
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&log] { Append(*log, kLines); });
    }
    for (int i = 0; i < kRotations; ++i) {
      files.push_back(file_.string() + "." + std::to_string(i));
      Move(files.back());
      while (log->summary().lines < static_cast<std::uint64_t>(9 + i * kLines / 4)) std::this_thread::yield();
      Rotate(*log);
      Rotate(*log);
    }
  }
  files.push_back(file_);
  const auto summary = VerifyAuditLog(files);
  ASSERT_TRUE(summary) << summary.error().ToString();
  EXPECT_EQ(summary->lines, 9U + kWriters * kLines + kRotations);
}

}  // namespace
}  // namespace ferment::io
