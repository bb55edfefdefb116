// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "coordinator/store/sqlite_event_store.h"

namespace ferment::coordinator {
namespace {

/// What the kernel is said to answer for every path that is there; 0: what it does answer.
std::uint32_t said_type = 0;

class NetworkStore : public ::testing::Test {
 protected:
  NetworkStore() { std::filesystem::remove(file_); }
  ~NetworkStore() override { said_type = 0; }

  std::filesystem::path file_ =
      std::filesystem::path(::testing::TempDir()) / ("network-store-" + std::to_string(::getpid()) + ".db");
};

// No mount of the kinds that it is about: the kernel's answer is a fake.
TEST_F(NetworkStore, IsRefusedBeforeAFileIsMadeAndSaysWhatToDo) {
  said_type = NFS_SUPER_MAGIC;
  const auto store = OpenSqliteEventStore(file_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kUsage);
  const std::string text(store.error().message());
  EXPECT_NE(text.find("store=" + file_.string() + " file_system=nfs"), std::string::npos) << text;
  EXPECT_NE(text.find("PostgreSQL"), std::string::npos) << text;
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(NetworkStore, IsTakenWhereItMayBeThere) {
  said_type = NFS_SUPER_MAGIC;
  EXPECT_TRUE(OpenSqliteEventStore(file_, /*may_be_on_network=*/true));
}

TEST_F(NetworkStore, OneThatIsThereIsRefusedToo) {
  ASSERT_TRUE(OpenSqliteEventStore(file_));
  said_type = CEPH_SUPER_MAGIC;
  EXPECT_EQ(ProcessExitCode(OpenSqliteEventStore(file_).error()), exit_code::kUsage);
}

TEST_F(NetworkStore, AnOverlayIsLocalAndAFuseThatNobodyKnowsIsTaken) {
  for (const std::uint32_t type : {OVERLAYFS_SUPER_MAGIC, FUSE_SUPER_MAGIC}) {
    said_type = type;
    EXPECT_TRUE(OpenSqliteEventStore(file_)) << type;
  }
}

TEST_F(NetworkStore, AFolderThatIsMissingIsTheStoresOwnError) {
  const auto store = OpenSqliteEventStore(file_.string() + "-none/a.db");
  ASSERT_FALSE(store);
  EXPECT_EQ(ProcessExitCode(store.error()), exit_code::kCannotWrite);
}

}  // namespace
}  // namespace ferment::coordinator

// In place of the C library's, in this program alone.
extern "C" int statfs(const char* path, struct statfs* found) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_statfs, path, found));
  if (result == 0 && ferment::coordinator::said_type != 0) found->f_type = ferment::coordinator::said_type;
  return result;
}
