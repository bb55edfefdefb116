// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "cli/command.h"

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
  const std::string folder = (folder_ / "coordinator").string();
  const char* const argv[] = {"ferment", "doctor", "--tls-dir", folder.c_str()};
  testing::internal::CaptureStdout();
  RunCommandLine(4, argv);
  const std::string out = testing::internal::GetCapturedStdout();
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

TEST_F(DevCertsCommand, RefusesWhatCannotStandInACertificate) {
  EXPECT_EQ(Type({"--days", "0"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--trust", "a/b"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--also", "root/me"}).code, exit_code::kUsage);
  EXPECT_EQ(Type({"--also", "labeler/../x"}).code, exit_code::kUsage);
  EXPECT_FALSE(fs::exists(folder_)) << "nothing is made where a flag is wrong";
}

}  // namespace
}  // namespace ferment::cli
