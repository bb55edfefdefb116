// SPDX-License-Identifier: Apache-2.0
#include "common/io/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/json.h"
#include "tests/support/manual_clock.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class AuditLogTest : public ::testing::Test {
 protected:
  AuditLogTest() { fs::remove(file_); }

  std::unique_ptr<AuditLog> Open() {
    auto log = AuditLog::Open(file_, clock_);
    EXPECT_TRUE(log) << (log ? "" : log.error().ToString());
    return log ? std::move(*log) : nullptr;
  }
  void Write(int lines) {
    const auto log = Open();
    ASSERT_TRUE(log);
    for (int i = 1; i <= lines; ++i) {
      ASSERT_TRUE(log->Append({"ann", "operator", "RunService/CancelRun", "run-" + std::to_string(i), "OK"}).ok());
    }
  }
  std::vector<std::string> Lines() const {
    std::ifstream in(file_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  /// Writes the file anew without sealing, as somebody with a grudge would.
  Status VerifyAfter(const std::function<void(std::vector<std::string>&)>& change) const {
    std::vector<std::string> lines = Lines();
    change(lines);
    const fs::path changed = file_.string() + ".changed";
    {
      std::ofstream out(changed);
      for (const std::string& line : lines) out << line << "\n";
    }
    const auto summary = VerifyAuditLog({changed});
    return summary ? Status() : summary.error();
  }

  const fs::path file_ = fs::path(::testing::TempDir()) / "audit.jsonl";
  ferment::testing::ManualClock clock_;
};

TEST_F(AuditLogTest, IsALineACallAndGoesOnAfterARestart) {
  Write(3);
  Write(2);
  const auto summary = VerifyAuditLog({file_});
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_EQ(summary->lines, 5U);
  const auto json = ParseJson(Lines().at(1));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["line"], 2);
  EXPECT_EQ((*json)["who"], "ann");
  EXPECT_EQ((*json)["role"], "operator");
  EXPECT_EQ((*json)["method"], "RunService/CancelRun");
  EXPECT_EQ((*json)["run"], "run-2");
  EXPECT_EQ((*json)["result"], "OK");
  EXPECT_EQ((*ParseJson(Lines().back()))["hash"], summary->head);
  EXPECT_EQ(Open()->summary().head, summary->head);
}

TEST_F(AuditLogTest, NamesTheLineThatWasChanged) {
  Write(5);
  for (std::size_t at = 0; at < 5; ++at) {
    const Status status = VerifyAfter([at](auto& lines) { lines[at].replace(lines[at].find("ann"), 3, "bob"); });
    EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("line=" + std::to_string(at + 1) + ": it was changed"));
  }
}

TEST_F(AuditLogTest, NamesWhereLinesAreMissingOrMoved) {
  Write(6);
  EXPECT_THAT(std::string(VerifyAfter([](auto& lines) { lines.erase(lines.begin() + 2); }).message()),
              HasSubstr("line=3: before it the lines 3 to 3 are missing"));
  EXPECT_THAT(std::string(VerifyAfter([](auto& lines) { lines.erase(lines.begin(), lines.begin() + 2); }).message()),
              HasSubstr("line=1: before it the lines 1 to 2 are missing"));
  EXPECT_FALSE(VerifyAfter([](auto& lines) { std::swap(lines[1], lines[3]); }).ok());
  EXPECT_THAT(std::string(VerifyAfter([](auto& lines) { lines.insert(lines.begin() + 4, lines[1]); }).message()),
              HasSubstr("line=5: it is out of order, it was written as line 2"));
}

TEST_F(AuditLogTest, NamesALineThatWasReplacedByASealedOne) {
  Write(4);
  const std::vector<std::string> mine = Lines();
  fs::remove(file_);
  {
    const auto log = Open();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(log->Append({"eve", "reader", "x", "", "OK"}).ok());
  }
  EXPECT_THAT(std::string(VerifyAfter([&](auto& lines) { lines[2] = mine[2]; }).message()),
              HasSubstr("line=3: it does not follow line 2"));
}

TEST_F(AuditLogTest, AHeadThatWasKeptShowsACutEnd) {
  Write(3);
  const std::string kept = VerifyAuditLog({file_})->head;
  Write(2);
  EXPECT_TRUE(VerifyAuditLog({file_}, {.kept = kept, .after = ""}));
  const std::vector<std::string> lines = Lines();
  {
    std::ofstream out(file_);
    out << lines[0] << "\n" << lines[1] << "\n";
  }
  EXPECT_TRUE(VerifyAuditLog({file_})) << "by itself the file cannot know";
  const auto cut = VerifyAuditLog({file_}, {.kept = kept, .after = ""});
  ASSERT_FALSE(cut);
  EXPECT_THAT(std::string(cut.error().message()), HasSubstr("line=2: behind it lines are missing"));
}

TEST_F(AuditLogTest, CutsTheHalfOfALineThatACrashLeft) {
  Write(2);
  std::ofstream(file_, std::ios::app) << R"({"line":3,"time":"20)";
  EXPECT_FALSE(VerifyAuditLog({file_}));
  Write(1);
  EXPECT_EQ(VerifyAuditLog({file_})->lines, 3U);
}

// A disk may have taken the size of what was not synced, and only some of its bytes.
TEST_F(AuditLogTest, CutsFromTheFirstLineWithZerosThatAPowerCutLeft) {
  Write(4);
  std::vector<std::string> lines = Lines();
  lines[2].replace(10, 20, 20, '\0');
  std::ofstream(file_) << lines[0] << "\n" << lines[1] << "\n" << lines[2] << "\n" << lines[3] << "\n";
  EXPECT_FALSE(VerifyAuditLog({file_}));
  Write(1);
  EXPECT_EQ(VerifyAuditLog({file_})->lines, 3U);
}

// One line that is longer than what is written between two syncs is cut off as any other.
TEST_F(AuditLogTest, CutsTheHalfOfALineLongerThanAMebibyte) {
  Write(2);
  std::ofstream(file_, std::ios::app) << R"({"line":3,"run":")" << std::string(2 << 20, 'x');
  Write(1);
  EXPECT_EQ(VerifyAuditLog({file_})->lines, 3U);
}

TEST_F(AuditLogTest, CutsNothingWhereMoreThanAPowerCutCanLoseIsBehindTheZeros) {
  Write(2);
  std::vector<std::string> lines = Lines();
  lines[0].replace(10, 20, 20, '\0');
  std::ofstream(file_) << lines[0] << "\n" << lines[1] << "\n" << std::string(2 << 20, 'x') << "\n";
  const auto size = fs::file_size(file_);
  const auto log = AuditLog::Open(file_, clock_);
  ASSERT_FALSE(log);
  EXPECT_EQ(ProcessExitCode(log.error()), exit_code::kUnreadableState);
  EXPECT_EQ(fs::file_size(file_), size);
}

TEST_F(AuditLogTest, DoesNotGoOnBehindAChangedLine) {
  Write(2);
  std::vector<std::string> lines = Lines();
  lines[1].replace(lines[1].find("ann"), 3, "bob");
  std::ofstream(file_) << lines[0] << "\n" << lines[1] << "\n";
  const auto log = AuditLog::Open(file_, clock_);
  ASSERT_FALSE(log);
  EXPECT_EQ(ProcessExitCode(log.error()), exit_code::kUnreadableState);
}

TEST_F(AuditLogTest, IsOneProcessesAlone) {
  const auto first = Open();
  const auto second = AuditLog::Open(file_, clock_);
  ASSERT_FALSE(second);
  EXPECT_EQ(ProcessExitCode(second.error()), exit_code::kFenced);
}

TEST_F(AuditLogTest, TakesNamesThatAreNoText) {
  {
    const auto log = Open();
    ASSERT_TRUE(log->Append({"\xff\"\n{", "r", "m", "", "OK"}).ok());
    ASSERT_TRUE(log->Append({"ann", "r", "m", R"(","hash":")", "OK"}).ok());
  }
  EXPECT_EQ(VerifyAuditLog({file_})->lines, 2U);
}

TEST_F(AuditLogTest, KeepsItsOrderUnderManyWriters) {
  {
    const auto log = Open();
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([&log, writer] {
        for (int i = 0; i < 100; ++i) EXPECT_TRUE(log->Append({std::to_string(writer), "r", "m", "", "OK"}).ok());
      });
    }
  }
  EXPECT_EQ(VerifyAuditLog({file_})->lines, 400U);
}

}  // namespace
}  // namespace ferment::io
