// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cli/command.h"
#include "common/io/audit_log.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/credentials/token_file.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

struct Answer {
  int code;
  std::string text;
};

Answer Say(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"ferment"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
  std::string text = testing::internal::GetCapturedStdout();
  return {code, text + testing::internal::GetCapturedStderr()};
}

class TokenCommands : public testing::Test {
 protected:
  TokenCommands() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  std::string At(const char* name) const { return (folder_ / name).string(); }

  const fs::path folder_ = fs::path(testing::TempDir()) / "token_commands";
};

TEST_F(TokenCommands, AFileOfHashesThatCannotBeReadIsNotReplaced) {
  fs::create_directory(folder_ / "tokens");
  const Answer made = Say({"new-token", "ann", "submitter", "--tokens", At("tokens"), "--out", At("ann")});
  EXPECT_EQ(made.code, 65) << made.text;
  EXPECT_THAT(made.text, HasSubstr(At("tokens")));
  EXPECT_FALSE(fs::exists(folder_ / "ann"));
}

TEST_F(TokenCommands, ANewTokenIsKnownByItsHashAlone) {
  const Answer made = Say({"new-token", "ann", "submitter", "--tokens", At("tokens"), "--out", At("ann")});
  ASSERT_EQ(made.code, 0) << made.text;
  const auto token = rpc::ReadToken(At("ann"));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->size(), 64U);
  EXPECT_THAT(made.text, Not(HasSubstr(*token)));
  std::ifstream in(At("tokens"));
  const std::string lines{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_THAT(lines, Not(HasSubstr(*token)));
  const auto file = rpc::TokenFile::Open(At("tokens"));
  ASSERT_TRUE(file);
  const auto entry = (*file)->Find(*token);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "ann");
  EXPECT_EQ(entry->role, v1::ROLE_SUBMITTER);
  EXPECT_TRUE(entry->expires);
  struct stat status {};
  ASSERT_EQ(stat(At("ann").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST_F(TokenCommands, RefusesANameTwiceARoleThatIsNoneAndAFileThatIsThere) {
  ASSERT_EQ(Say({"new-token", "ann", "reader", "--tokens", At("tokens"), "--out", At("ann")}).code, 0);
  EXPECT_EQ(Say({"new-token", "ann", "reader", "--tokens", At("tokens"), "--out", At("again")}).code,
            exit_code::kCannotWrite);
  EXPECT_FALSE(fs::exists(At("again")));
  EXPECT_EQ(Say({"new-token", "bob", "reader", "--tokens", At("tokens"), "--out", At("ann")}).code,
            exit_code::kCannotWrite);
  EXPECT_EQ(Say({"new-token", "bob", "root", "--tokens", At("tokens"), "--out", At("bob")}).code, exit_code::kUsage);
  EXPECT_EQ(Say({"new-token", "b o b", "reader", "--tokens", At("tokens"), "--out", At("bob")}).code,
            exit_code::kUsage);
  ASSERT_EQ(Say({"new-token", "bob", "reader", "--tokens", At("tokens"), "--out", At("bob"), "--days", "0"}).code, 0);
  EXPECT_TRUE((*rpc::TokenFile::Open(At("tokens")))->Find(*rpc::ReadToken(At("ann"))))
      << "the first one is still there";
}

TEST_F(TokenCommands, VerifiesAnAuditLog) {
  {
    const auto log = io::AuditLog::Open(At("audit"), SystemClock());
    ASSERT_TRUE(log);
    ASSERT_TRUE((*log)->Append({"ann", "operator", "m", "run-1", "OK"}).ok());
    ASSERT_TRUE((*log)->Append({"ann", "operator", "m", "run-2", "OK"}).ok());
  }
  EXPECT_THAT(Say({"audit", "verify", At("audit")}).text, HasSubstr("2 lines"));
  EXPECT_EQ(Say({"audit", "verify", At("audit"), "--head", std::string(64, 'a')}).code, exit_code::kBadData);
  std::ifstream in(At("audit"));
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::ofstream(At("changed")) << text.replace(text.find("run-1"), 5, "run-7");
  const Answer changed = Say({"audit", "verify", At("changed")});
  EXPECT_EQ(changed.code, exit_code::kBadData);
  EXPECT_THAT(changed.text, HasSubstr("line=1: it was changed"));
  EXPECT_NE(Say({"audit", "verify", At("none")}).code, 0);
}

TEST_F(TokenCommands, VerifiesTheFilesOfAnAuditLogThatWasRotated) {
  std::string former;
  {
    const auto log = io::AuditLog::Open(At("audit"), SystemClock());
    ASSERT_TRUE(log);
    ASSERT_TRUE((*log)->Append({"ann", "operator", "m", "run-1", "OK"}).ok());
    former = (*log)->summary().head;
    fs::rename(At("audit"), At("audit.1"));
    ASSERT_TRUE((*log)->Rotate({"coordinator", "", "audit.rotated", "", "OK"}).ok());
    ASSERT_TRUE((*log)->Append({"ann", "operator", "m", "run-2", "OK"}).ok());
  }
  EXPECT_THAT(Say({"audit", "verify", At("audit.1"), At("audit")}).text, HasSubstr("3 lines, head"));
  EXPECT_EQ(Say({"audit", "verify", At("audit.1"), At("audit"), "--head", former}).code, 0);
  EXPECT_EQ(Say({"audit", "verify", At("audit"), At("audit.1")}).code, exit_code::kBadData);
  const Answer alone = Say({"audit", "verify", At("audit")});
  EXPECT_EQ(alone.code, exit_code::kBadData);
  EXPECT_THAT(alone.text, HasSubstr("head=" + former));
  EXPECT_THAT(Say({"audit", "verify", At("audit"), "--after", former}).text, HasSubstr("2 lines from line 2 on, head"));
  EXPECT_THAT(Say({"audit", "verify", At("audit"), "--after", former, "--json"}).text,
              HasSubstr(R"("first":2,"lines":2,"head":)"));
}

}  // namespace
}  // namespace ferment::cli
