// SPDX-License-Identifier: Apache-2.0
#include "worker/offline_run_client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>

#include "common/io/folder_hold.h"

namespace ferment::worker {
namespace {

/// A run's folder with a lock of this process's that says to be of `host`.
class OfflineRunClientTest : public ::testing::Test {
 protected:
  OfflineRunClientTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~OfflineRunClientTest() override {
    Release();
    std::filesystem::remove_all(folder_);
  }

  void HoldAs(const std::string& host) {
    const auto file = folder_ / io::kCoordinatorLock;
    std::ofstream(file) << R"({"owner": "other", "host": ")" << host << R"(", "pid": 1})" << std::endl;
    lock_ = open(file.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(flock(lock_, LOCK_SH | LOCK_NB), 0);
  }
  void Release() {
    if (lock_ >= 0) close(lock_);
    lock_ = -1;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("offline-" + std::to_string(getpid()));
  int lock_ = -1;
};

TEST_F(OfflineRunClientTest, WaitsForTheLockOfAHostThatMayBeDead) {
  HoldAs("elsewhere");
  int asked = 0;
  const auto client = MakeOfflineRunClient(folder_, "teacher", [&] {
    if (++asked == 2) Release();
    return false;
  });
  const Status taken = client->Acquire();
  EXPECT_TRUE(taken.ok()) << taken.ToString();
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(io::HolderOf(folder_)->on_this_host);
}

TEST_F(OfflineRunClientTest, LeavesWith143WhenItIsAskedToWhileItWaits) {
  HoldAs("elsewhere");
  int asked = 0;
  const auto client = MakeOfflineRunClient(folder_, "teacher", [&] { return ++asked == 2; });
  const Status left = client->Acquire();
  EXPECT_EQ(left.exit_code(), exit_code::kTerminated) << left.ToString();
  EXPECT_THAT(std::string(left.message()), ::testing::HasSubstr("host=elsewhere"));
  EXPECT_EQ(asked, 2);
}

TEST_F(OfflineRunClientTest, LeavesAtOnceWhereAProcessOfThisHostHasIt) {
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof(host) - 1), 0);
  HoldAs(host);
  const auto client = MakeOfflineRunClient(folder_, "teacher", [] {
    ADD_FAILURE() << "it waits for a lock that the kernel would have ended";
    return true;
  });
  EXPECT_EQ(client->Acquire().exit_code(), exit_code::kFenced);
}

}  // namespace
}  // namespace ferment::worker
