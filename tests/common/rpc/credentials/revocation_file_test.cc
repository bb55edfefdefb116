// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/revocation_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/support/manual_clock.h"
#include "tests/support/test_certificates.h"

namespace ferment::rpc {
namespace {

using namespace std::chrono_literals;
using ferment::testing::FromHours;
using ferment::testing::ManualClock;
using ferment::testing::TestCertificates;
using ::testing::HasSubstr;

class RevocationFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<RevocationFile> Open() const { return RevocationFile::Open(server_, clock_).value(); }
  std::string TextOf(const CredentialPaths& paths) const { return ReadCredential(paths.certificate).value(); }
  /// Has a second pass and asks. Returns: what was logged.
  std::string Look(RevocationFile& file) {
    clock_.Advance(1s);
    ::testing::internal::CaptureStderr();
    file.RevokeAnyOf(stolen_);
    return ::testing::internal::GetCapturedStderr();
  }

  ManualClock clock_;
  TestCertificates certificates_{std::filesystem::path(::testing::TempDir()) / "revocation_file"};
  CredentialPaths server_ = certificates_.Server();
  const CredentialPaths whose_ = certificates_.Client("labeler/stolen");
  const std::string stolen_ = TextOf(whose_);
  const std::string good_ = TextOf(certificates_.Client("labeler"));
};

TEST_F(RevocationFileTest, RevokesFromTheNextLookOn) {
  const auto file = Open();
  EXPECT_FALSE(file->RevokeAnyOf(stolen_)) << "there is no list";
  certificates_.Revoke(whose_);
  clock_.Advance(999ms);
  EXPECT_FALSE(file->RevokeAnyOf(stolen_)) << "it looks once a second";
  clock_.Advance(1ms);
  EXPECT_TRUE(file->RevokeAnyOf(stolen_));
  EXPECT_FALSE(file->RevokeAnyOf(good_));
  EXPECT_TRUE(file->RevokeAnyOf(stolen_)) << "as it was remembered";
  certificates_.Revoke(certificates_.Paths("labeler"));
  clock_.Advance(1s);
  EXPECT_TRUE(file->RevokeAnyOf(good_)) << "what was remembered is of the former list";
  EXPECT_TRUE(file->RevokeAnyOf(stolen_));
}

TEST_F(RevocationFileTest, ADamagedListChangesNothing) {
  certificates_.Revoke(whose_);
  const auto file = Open();
  for (const std::string& text : {std::string("damaged"), std::string(), stolen_}) {
    certificates_.PutRevocations(text);
    EXPECT_THAT(Look(*file), HasSubstr("revocations.unreadable")) << text;
    EXPECT_TRUE(file->RevokeAnyOf(stolen_)) << text;
    EXPECT_FALSE(file->RevokeAnyOf(good_)) << text;
    EXPECT_EQ(Look(*file), "") << "once a file is enough";
  }
}

TEST_F(RevocationFileTest, AListThatCouldNotBeReadIsReadAtTheNextLook) {
  const auto file = Open();
  certificates_.Revoke(whose_);
  clock_.Advance(1s);
  rlimit allowed{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &allowed), 0);
  rlimit none = allowed;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool without_files = file->RevokeAnyOf(stolen_);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &allowed), 0);
  EXPECT_FALSE(without_files) << "it cannot know yet";
  clock_.Advance(1s);
  EXPECT_TRUE(file->RevokeAnyOf(stolen_));
}

TEST_F(RevocationFileTest, AListOfAnotherAuthorityChangesNothing) {
  certificates_.Revoke(whose_);
  const auto file = Open();
  TestCertificates others(certificates_.folder() / "others");
  others.Revoke(others.Client("labeler"));
  certificates_.PutRevocations(ReadCredential(others.RevocationFile()).value());
  EXPECT_THAT(Look(*file), HasSubstr("not a list of an authority that is trusted"));
  EXPECT_TRUE(file->RevokeAnyOf(stolen_));
  // Once that authority is trusted too, its list counts.
  TestCertificates::Trust(server_, certificates_.authority() + others.authority());
  EXPECT_THAT(Look(*file), HasSubstr("revocations.read"));
  EXPECT_TRUE(file->RevokeAnyOf(TextOf(others.Paths("labeler"))));
}

TEST_F(RevocationFileTest, AListThatIsGoneRevokesNothingUnlessItWasAskedForByName) {
  certificates_.Revoke(whose_);
  const auto file = Open();
  server_.revocations_wanted = true;
  const auto wanted = Open();
  std::filesystem::remove(certificates_.RevocationFile());
  EXPECT_THAT(Look(*file), HasSubstr("revocations.gone"));
  EXPECT_FALSE(file->RevokeAnyOf(stolen_));
  EXPECT_THAT(Look(*wanted), HasSubstr("revocations.unreadable"));
  EXPECT_TRUE(wanted->RevokeAnyOf(stolen_));
}

TEST_F(RevocationFileTest, AListThatIsOutOfDateStaysInForceAndIsTold) {
  const auto now = clock_.WallNow();
  certificates_.Revoke(whose_, {now - 1h, now + 1h});
  const auto file = Open();
  EXPECT_EQ(Look(*file), "");
  clock_.Advance(1h);
  EXPECT_THAT(Look(*file), HasSubstr("revocations.outdated"));
  EXPECT_TRUE(file->RevokeAnyOf(stolen_));
  EXPECT_FALSE(file->RevokeAnyOf(good_));
  EXPECT_EQ(Look(*file), "");
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(Open()->RevokeAnyOf(stolen_)) << "a restart takes it too";
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("revocations.outdated"));
}

TEST_F(RevocationFileTest, DoesNotOpenOnAListThatIsNoGood) {
  const auto refusal = [this] {
    const auto opened = RevocationFile::Open(server_, clock_);
    if (opened) return std::string("opened");
    EXPECT_EQ(ProcessExitCode(opened.error()), exit_code::kNotAllowed);
    EXPECT_EQ(CheckCredentials(server_).ToString(), opened.error().ToString());
    return std::string(opened.error().message());
  };
  EXPECT_EQ(refusal(), "opened") << "without a list";
  server_.revocations_wanted = true;
  EXPECT_THAT(refusal(), HasSubstr(server_.revocations.string()));
  certificates_.PutRevocations("damaged");
  EXPECT_THAT(refusal(), HasSubstr("not revocation lists in PEM"));
  server_.revocations_wanted = false;
  EXPECT_THAT(refusal(), HasSubstr(server_.revocations.string()));
}

TEST_F(RevocationFileTest, WhoseOwnCertificateIsRevokedDoesNotStart) {
  certificates_.Revoke(server_);
  const Status usable = CheckCredentials(server_);
  EXPECT_THAT(std::string(usable.message()), HasSubstr("this certificate has been revoked"));
  EXPECT_THAT(std::string(usable.message()), HasSubstr(server_.certificate.string()));
  EXPECT_EQ(ProcessExitCode(usable), exit_code::kNotAllowed);
}

TEST_F(RevocationFileTest, StandsInTheFolderOrWhereItsFlagSays) {
  const std::string folder = (certificates_.folder() / "labeler").string();
  const auto of_folder = ResolveCredentials({.tls_dir = folder});
  ASSERT_TRUE(of_folder);
  EXPECT_EQ(of_folder->revocations, folder + "/ca.crl");
  EXPECT_FALSE(of_folder->revocations_wanted);
  const auto named = ResolveCredentials({.tls_dir = folder, .tls_crl = "elsewhere.crl"});
  ASSERT_TRUE(named);
  EXPECT_EQ(named->revocations, "elsewhere.crl");
  EXPECT_TRUE(named->revocations_wanted);
  const auto alone = ResolveCredentials({.tls_crl = "elsewhere.crl"});
  ASSERT_FALSE(alone);
  EXPECT_EQ(ProcessExitCode(alone.error()), exit_code::kUsage);
}

}  // namespace
}  // namespace ferment::rpc
