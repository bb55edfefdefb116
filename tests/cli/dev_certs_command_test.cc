// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "cli/command.h"
#include "common/rpc/credentials/certificate_maker.h"
#include "common/rpc/credentials/revocation_list.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct Typed {
  int code;
  std::string out;
  std::string err;
};

class DevCertsCommand : public testing::Test {
 protected:
  DevCertsCommand() { fs::remove_all(folder_); }
  Typed Type(std::initializer_list<const char*> words) {
    std::vector<const char*> argv = {"ferment", "dev-certs", folder_.c_str()};
    argv.insert(argv.end(), words);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
    return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
  }
  std::string Text(const std::string& file) const {
    std::ifstream in(folder_ / file);
    return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  /// Whether the list in `where` revokes the certificate in `file`.
  bool Revokes(const std::string& where, const std::string& certificate) const {
    const auto lists = rpc::RevocationLists::Read(Text(where + "/ca.crl"), Text("ca/ca.crt"));
    EXPECT_TRUE(lists) << lists.error().message();
    return lists && lists->RevokeAnyOf(certificate);
  }
  std::string DoctorOn(const std::string& name) const {
    const std::string folder = (folder_ / name).string();
    const char* const argv[] = {"ferment", "doctor", "--tls-dir", folder.c_str()};
    testing::internal::CaptureStdout();
    RunCommandLine(4, argv);
    return testing::internal::GetCapturedStdout();
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / "dev_certs";
};

TEST_F(DevCertsCommand, MakesAFolderARoleThatItsOwnerAloneReads) {
  const Typed typed = Type({"--host", "train.example", "--also", "labeler/gpu-7"});
  ASSERT_EQ(typed.code, 0) << typed.err;
  EXPECT_THAT(typed.out, HasSubstr("--tls-dir " + folder_.string() + "/coordinator"));
  for (const char* role : {"coordinator", "reader", "submitter", "operator", "labeler", "trainer", "labeler-gpu-7"}) {
    for (const char* file : {"tls.crt", "tls.key", "ca.crt"}) {
      const fs::path path = folder_ / role / file;
      struct stat status {};
      ASSERT_EQ(stat(path.c_str(), &status), 0) << path;
      EXPECT_EQ(status.st_mode & 07777U, 0600U) << path;
    }
    EXPECT_EQ(Text(std::string(role) + "/ca.crt"), Text("ca/ca.crt"));
  }
}

TEST_F(DevCertsCommand, ADoctorSaysWhoseTheyAreAndHowLongTheyLast) {
  ASSERT_EQ(Type({"--host", "train.example", "--days", "30"}).code, 0);
  const std::string out = DoctorOn("coordinator");
  EXPECT_THAT(out, testing::Not(HasSubstr("revoked")));
  EXPECT_THAT(out, HasSubstr("spiffe://ferment.local/ferment/coordinator, 29 days left"));
  EXPECT_THAT(out, HasSubstr("serves localhost 127.0.0.1 ::1 train.example"));
}

TEST_F(DevCertsCommand, RenewsByTheSameAuthorityWhenForced) {
  ASSERT_EQ(Type({}).code, 0);
  const std::string authority = Text("ca/ca.crt");
  const std::string labeler = Text("labeler/tls.crt");
  const Typed again = Type({});
  EXPECT_EQ(again.code, exit_code::kCannotWrite);
  EXPECT_THAT(again.err, HasSubstr("--force"));
  EXPECT_EQ(Text("labeler/tls.crt"), labeler);
  ASSERT_EQ(Type({"--force"}).code, 0);
  EXPECT_EQ(Text("ca/ca.crt"), authority);
  EXPECT_NE(Text("labeler/tls.crt"), labeler);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr(".new-"))) << "left behind";
  }
}

TEST_F(DevCertsCommand, RevokesOneAndLeavesTheOthers) {
  ASSERT_EQ(Type({"--also", "labeler/gpu-7"}).code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "coordinator/ca.crl")) << "no list before there is somebody on it";
  const std::string stolen = Text("labeler-gpu-7/tls.crt");
  const Typed typed = Type({"--revoke", "labeler/gpu-7"});
  ASSERT_EQ(typed.code, 0) << typed.err;
  EXPECT_THAT(typed.out, HasSubstr("labeler/gpu-7"));
  EXPECT_THAT(typed.out, testing::Not(HasSubstr("Next:")));
  EXPECT_EQ(Text("labeler-gpu-7/tls.crt"), stolen) << "nothing was renewed";
  for (const char* where : {"ca", "coordinator", "labeler"}) {
    EXPECT_TRUE(Revokes(where, stolen)) << where;
    EXPECT_FALSE(Revokes(where, Text("labeler/tls.crt"))) << where;
  }
  EXPECT_THAT(DoctorOn("coordinator"), HasSubstr("1 revoked, the list is good for 89 days"));
  EXPECT_THAT(DoctorOn("labeler-gpu-7"), HasSubstr("this certificate has been revoked"));
  EXPECT_THAT(DoctorOn("labeler"), testing::Not(HasSubstr("has been revoked")));
}

TEST_F(DevCertsCommand, RevokesWhatWasIssuedBeforeARenewalAndKeepsTheListWithTheNext) {
  ASSERT_EQ(Type({}).code, 0);
  const std::string stolen = Text("labeler/tls.crt");
  ASSERT_EQ(Type({"--force"}).code, 0);
  const std::string renewed = Text("labeler/tls.crt");
  ASSERT_EQ(Type({"--revoke", "labeler", "--force", "--days", "30"}).code, 0);
  const std::string current = Text("labeler/tls.crt");
  ASSERT_EQ(Type({"--force"}).code, 0);
  EXPECT_TRUE(Revokes("coordinator", stolen));
  EXPECT_TRUE(Revokes("coordinator", renewed));
  EXPECT_FALSE(Revokes("coordinator", current));
  EXPECT_THAT(DoctorOn("coordinator"), HasSubstr("2 revoked, the list is good for 89 days")) << "signed anew";
  EXPECT_EQ(Text("coordinator/ca.crl"), Text("ca/ca.crl"));
}

TEST_F(DevCertsCommand, RevokesWhatAnOlderVersionIssuedWhichRememberedNothing) {
  ASSERT_EQ(Type({}).code, 0);
  fs::remove_all(folder_ / "ca/issued");
  const std::string stolen = Text("trainer/tls.crt");
  ASSERT_EQ(Type({"--force"}).code, 0);
  ASSERT_EQ(Type({"--revoke", "trainer", "--revoke", "reader"}).code, 0);
  EXPECT_TRUE(Revokes("coordinator", stolen));
  EXPECT_TRUE(Revokes("coordinator", Text("reader/tls.crt")));
}

TEST_F(DevCertsCommand, SaysWhenTheListRanOut) {
  ASSERT_EQ(Type({}).code, 0);
  const std::string stolen = Text("labeler/tls.crt");
  const auto now = std::chrono::system_clock::now();
  const auto list = rpc::MakeRevocationList({Text("ca/ca.key"), Text("ca/ca.crt")}, "", {&stolen, 1},
                                            {now - std::chrono::hours(48), now - std::chrono::hours(24)});
  ASSERT_TRUE(list) << list.error().message();
  std::ofstream(folder_ / "coordinator/ca.crl") << *list;
  EXPECT_THAT(DoctorOn("coordinator"), HasSubstr("1 revoked, the list should have been replaced"));
  std::ofstream(folder_ / "coordinator/ca.crl") << "damaged";
  EXPECT_THAT(DoctorOn("coordinator"), HasSubstr("not revocation lists in PEM"));
}

TEST_F(DevCertsCommand, RevokesNothingWhereItIsNotCertainWhat) {
  EXPECT_EQ(Type({"--revoke", "labeler"}).code, exit_code::kUsage) << "no authority";
  EXPECT_FALSE(fs::exists(folder_));
  ASSERT_EQ(Type({}).code, 0);
  const Typed unknown = Type({"--revoke", "labeler", "--revoke", "labeler/gpu-7"});
  EXPECT_EQ(unknown.code, exit_code::kUsage);
  EXPECT_THAT(unknown.err, HasSubstr("revoke=labeler/gpu-7"));
  EXPECT_EQ(Type({"--revoke", "labeler", "--also", "labeler/gpu-8"}).code, exit_code::kUsage);
  EXPECT_FALSE(fs::exists(folder_ / "ca/ca.crl")) << "all or none";
  std::ofstream(folder_ / "ca/ca.crl").flush();
  EXPECT_EQ(Type({"--revoke", "labeler"}).code, exit_code::kNotAllowed) << "an empty file is no list";
  std::ofstream(folder_ / "ca/ca.crl") << "damaged";
  EXPECT_EQ(Type({"--revoke", "labeler"}).code, exit_code::kNotAllowed) << "who stood on it would be lost";
  EXPECT_EQ(Type({"--force"}).code, exit_code::kNotAllowed);
  EXPECT_EQ(Text("ca/ca.crl"), "damaged");
}

TEST_F(DevCertsCommand, RefusesWhatCannotStandInACertificate) {
  EXPECT_EQ(Type({"--days", "0"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--trust", "a/b"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--also", "root/me"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--also", "labeler/../x"}).code, exit_code::kUsage);
  EXPECT_FALSE(fs::exists(folder_)) << "nothing is made where a flag is wrong";
}

}  // namespace
}  // namespace ferment::cli
