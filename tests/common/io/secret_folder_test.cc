// SPDX-License-Identifier: Apache-2.0
#include "common/io/secret_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

namespace {

bool exchanges_names = true;

}  // namespace

/// In place of libc's: as NFS has it, where that is asked for. No such file system can be mounted for a test.
extern "C" int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                         unsigned int flags) noexcept {
  if (!exchanges_names) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class SecretFolderTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    fs::remove_all(parent_);
    fs::create_directories(parent_);
    exchanges_names = GetParam();
  }
  void TearDown() override {
    exchanges_names = true;
    fs::remove_all(parent_);
  }
  fs::path folder() const { return parent_ / "tls"; }
  long NamesBeside() const { return std::distance(fs::directory_iterator(parent_), fs::directory_iterator()); }

 private:
  const fs::path parent_ = fs::path(::testing::TempDir()) / "secret_folder";
};

TEST_P(SecretFolderTest, IsReplacedAsAWholeAndLeavesNothingBeside) {
  ASSERT_EQ(ReplaceSecretFolder(folder(), {{"tls.crt", "first"}, {"ca.crt", "of before"}}), Status());
  ASSERT_EQ(ReplaceSecretFolder(folder(), {{"tls.crt", "second"}}), Status());
  EXPECT_EQ(TextOf(folder() / "tls.crt"), "second");
  EXPECT_FALSE(fs::exists(folder() / "ca.crt"));
  EXPECT_EQ(NamesBeside(), 1);
  EXPECT_EQ(fs::status(folder() / "tls.crt").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_P(SecretFolderTest, ARenewedFileHasAnotherSecondHoweverSoonItIsRenewed) {
  std::time_t former = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(ReplaceSecretFolder(folder(), {{"tls.crt", std::to_string(i)}}), Status());
    struct stat found {};
    ASSERT_EQ(stat((folder() / "tls.crt").c_str(), &found), 0);
    EXPECT_GT(found.st_mtim.tv_sec, former);
    former = found.st_mtim.tv_sec;
  }
}

INSTANTIATE_TEST_SUITE_P(Exchanging, SecretFolderTest, ::testing::Bool());

}  // namespace
}  // namespace ferment::io
