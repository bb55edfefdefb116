// SPDX-License-Identifier: Apache-2.0
#include "common/base/usable_cores.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace ferment {
namespace {

namespace fs = std::filesystem;

/// The files of a machine, as far as they are looked at.
class UsableCoresTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove_all(root_); }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  unsigned Cores() const { return CoresUnderLimits(root_, 64); }

 private:
  const fs::path root_ = fs::path(::testing::TempDir()) / "usable_cores";
};

constexpr const char* kSecond = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(UsableCoresTest, AreAllWhereNothingLimitsThem) {
  EXPECT_EQ(Cores(), 64U);
  Write("proc/self/mountinfo", kSecond);
  Write("proc/self/cgroup", "0::/user.slice\n");
  Write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  EXPECT_EQ(Cores(), 64U);
}

TEST_F(UsableCoresTest, AreThoseOfTheNarrowestGroupAroundTheProcess) {
  Write("proc/self/mountinfo", kSecond);
  Write("proc/self/cgroup", "0::/pods/one\n");
  Write("sys/fs/cgroup/pods/cpu.max", "350000 100000\n");
  Write("sys/fs/cgroup/pods/one/cpu.max", "800000 100000\n");
  Write("sys/fs/cgroup/pods/other/cpu.max", "100000 100000\n");
  EXPECT_EQ(Cores(), 3U);
  Write("sys/fs/cgroup/pods/one/cpu.max", "50000 100000\n");
  EXPECT_EQ(Cores(), 1U) << "half a core";
}

TEST_F(UsableCoresTest, AreThoseOfAContainerThatSeesItselfAsTheRoot) {
  Write("proc/self/mountinfo", kSecond);
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Cores(), 2U);
}

TEST_F(UsableCoresTest, AreThoseOfAContainerOfTheFirstVersionThatSeesItsWholePath) {
  Write("proc/self/mountinfo",
        "40 30 0:29 /docker/c0ffee /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 30 0:30 /docker/c0ffee /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
  Write("proc/self/cgroup", "5:cpuset:/docker/c0ffee\n4:cpu,cpuacct:/docker/c0ffee\n");
  Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n");
  Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Cores(), 4U);
  Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Cores(), 64U);
}

TEST(UsableCoresDeathTest, OfARealGroupAreSeen) {
  const fs::path group = "/sys/fs/cgroup/cpu/ferment-" + std::to_string(getpid());
  std::error_code error;
  if (!fs::create_directory(group, error)) GTEST_SKIP() << "needs root and cgroups of the first version";
  std::ofstream(group / "cpu.cfs_period_us") << 100'000;
  std::ofstream(group / "cpu.cfs_quota_us") << 250'000;
  const auto in_a_child = [&] {
    std::ofstream(group / "cgroup.procs") << getpid();
    std::exit(static_cast<int>(CoresUnderLimits("/", 64)));
  };
  EXPECT_EXIT(in_a_child(), ::testing::ExitedWithCode(2), "");
  fs::remove(group, error);
}

TEST(UsableCores, AreThoseThatTheProcessMayRunOnAtMost) {
  cpu_set_t mine;
  ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
  EXPECT_GE(UsableCores(), 1U);
  EXPECT_LE(UsableCores(), static_cast<unsigned>(CPU_COUNT(&mine)));
}

}  // namespace
}  // namespace ferment
