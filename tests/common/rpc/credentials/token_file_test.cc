// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "common/rpc/credentials/credential_paths.h"

namespace ferment::rpc {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const std::string kHash(64, 'a');

TEST(TokenFile, ReadsItsOwnLines) {
  const TokenEntry ann{"ann", v1::ROLE_SUBMITTER, HashOfToken("secret"), std::nullopt};
  EXPECT_EQ(TokenLine(ann), "ann submitter 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
  const auto entries = ParseTokens("# people\n\n" + TokenLine(ann) + "\r\nbob reader " + kHash + " 2027-01-31\n" +
                                   "eve operator " + kHash + " 2027-01-31T12:00:00Z\n");
  ASSERT_TRUE(entries) << entries.error().message();
  ASSERT_EQ(entries->size(), 3U);
  EXPECT_EQ((*entries)[0].hash, ann.hash);
  EXPECT_FALSE((*entries)[0].expires);
  EXPECT_EQ(FormatUtc(*(*entries)[1].expires), "2027-01-31T00:00:00.000Z");
  EXPECT_EQ(TokenLine((*entries)[2]), "eve operator " + kHash + " 2027-01-31T12:00:00Z");
}

TEST(TokenFile, ATokenMayBeGoodForEver) {
  const auto read = ParseTokens("ada reader " + std::string(64, 'a') + " 9999-12-31\n");
  ASSERT_TRUE(read && read->size() == 1 && read->front().expires);
  EXPECT_EQ(FormatUtc(*read->front().expires), "2262-04-11T23:47:16.000Z") << "as far as time is counted";
}

TEST(TokenFile, NamesTheFaultyLineButNothingOfIt) {
  const std::vector<std::string> lines = {"ann",
                                          "ann root " + kHash,
                                          "an/n reader " + kHash,
                                          "ann reader canary-secret",
                                          "ann reader " + kHash + " tomorrow",
                                          "ann reader " + kHash + " 2027-01-31 more",
                                          "ann reader " + std::string(64, 'A')};
  for (const std::string& line : lines) {
    const auto entries = ParseTokens("# first\n" + line + "\n");
    ASSERT_FALSE(entries) << line;
    EXPECT_EQ(ProcessExitCode(entries.error()), exit_code::kNotAllowed);
    EXPECT_THAT(std::string(entries.error().message()), HasSubstr("line 2"));
    EXPECT_THAT(std::string(entries.error().message()), Not(HasSubstr("canary")));
  }
}

class TokenFileOnDisk : public testing::Test {
 protected:
  TokenFileOnDisk() { fs::remove_all(file_); }
  /// As a careful administrator does: a new file in the place of the old one.
  void Put(const std::string& text) {
    const fs::path made = file_.string() + ".new";
    std::ofstream(made) << text;
    fs::rename(made, file_);
  }
  static std::string LineFor(const std::string& name, const std::string& token) {
    return TokenLine({name, v1::ROLE_READER, HashOfToken(token), std::nullopt}) + "\n";
  }

  const fs::path file_ = fs::path(testing::TempDir()) / "tokens";
};

TEST_F(TokenFileOnDisk, AFolderInItsPlaceChangesNothingAndEndsNobody) {
  Put(LineFor("ann", "first"));
  const auto tokens = TokenFile::Open(file_);
  ASSERT_TRUE(tokens) << tokens.error().message();
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_TRUE((*tokens)->Find("first"));
  const auto opened = TokenFile::Open(file_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(ProcessExitCode(opened.error()), exit_code::kNotAllowed) << opened.error().message();
  fs::remove(file_);
  Put(LineFor("ann", "second"));
  EXPECT_TRUE((*tokens)->Find("second"));
}

TEST_F(TokenFileOnDisk, FollowsEveryChange) {
  Put(LineFor("ann", "first"));
  const auto tokens = TokenFile::Open(file_);
  ASSERT_TRUE(tokens) << tokens.error().message();
  ASSERT_TRUE((*tokens)->Find("first"));
  EXPECT_EQ((*tokens)->Find("first")->name, "ann");
  EXPECT_FALSE((*tokens)->Find("second"));
  EXPECT_FALSE((*tokens)->Find(""));
  Put(LineFor("bob", "second"));
  EXPECT_FALSE((*tokens)->Find("first"));
  EXPECT_EQ((*tokens)->Find("second")->name, "bob");
  Put("this is no token file\n");
  EXPECT_TRUE((*tokens)->Find("second")) << "a slip of the pen locks nobody out";
  fs::remove(file_);
  EXPECT_FALSE((*tokens)->Find("second"));
  Put(LineFor("bob", "second"));
  EXPECT_TRUE((*tokens)->Find("second"));
}

TEST_F(TokenFileOnDisk, AFileThatCouldNotBeReadIsReadAtTheNextQuestion) {
  Put(LineFor("ann", "first"));
  const auto tokens = TokenFile::Open(file_);
  ASSERT_TRUE(tokens) << tokens.error().message();
  Put(LineFor("bob", "second"));
  rlimit allowed{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &allowed), 0);
  rlimit none = allowed;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool still_in = (*tokens)->Find("first").has_value();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &allowed), 0);
  EXPECT_TRUE(still_in) << "it cannot know yet";
  EXPECT_FALSE((*tokens)->Find("first"));
  EXPECT_TRUE((*tokens)->Find("second"));
}

TEST_F(TokenFileOnDisk, MustBeThereAtTheStart) {
  const auto tokens = TokenFile::Open(file_);
  ASSERT_FALSE(tokens);
  EXPECT_EQ(ProcessExitCode(tokens.error()), exit_code::kNotAllowed);
  EXPECT_THAT(std::string(tokens.error().message()), HasSubstr(file_.string()));
}

TEST_F(TokenFileOnDisk, ATokenIsOneLineWithoutStrangeLetters) {
  Put("abc-123_.~+/=\n");
  EXPECT_EQ(ReadToken(file_).value_or("none"), "abc-123_.~+/=");
  Put("two words\n");
  EXPECT_FALSE(ReadToken(file_));
  Put("two\nlines\n");
  EXPECT_FALSE(ReadToken(file_));
  Put("\n");
  EXPECT_FALSE(ReadToken(file_));
}

TEST(CredentialPaths, RefuseHalfOfAPairAndATokenInTheClear) {
  EXPECT_FALSE(ResolveCredentials({.tls_cert = "a", .tls_ca = "c"}));
  EXPECT_FALSE(ResolveCredentials({.tls_cert = "a", .tls_key = "b"}));
  const auto clear = ResolveCredentials({.token_file = "t"});
  ASSERT_FALSE(clear);
  EXPECT_EQ(ProcessExitCode(clear.error()), exit_code::kUsage);
  const auto token = ResolveCredentials({.tls_ca = "c", .token_file = "t"});
  ASSERT_TRUE(token);
  EXPECT_TRUE(token->UseTls());
  EXPECT_FALSE(token->HaveCertificate());
  EXPECT_FALSE(ResolveCredentials({})->UseTls());
}

}  // namespace
}  // namespace ferment::rpc
