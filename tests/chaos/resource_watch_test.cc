// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/resource_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/process_resources.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
using std::chrono::minutes;
using std::chrono::seconds;

class ResourceWatchTest : public ::testing::Test {
 protected:
  void Take(const std::string& who, const std::string& what, double per_minute, double from = 30) {
    for (seconds at{0}; at < minutes(10); at += seconds(2)) {
      watch_.Take(begin_ + at, who, what, from + per_minute * static_cast<double>(at.count()) / 60);
    }
  }
  std::vector<std::string> Promises() {
    std::vector<Breach> breaches;
    JudgeSeries(watch_.series(), remembered_, breaches);
    std::vector<std::string> promises;
    for (const Breach& breach : breaches) promises.push_back(breach.promise);
    return promises;
  }

  const fs::path file_ = fs::path(::testing::TempDir()) / "resources.tsv";
  const Instant begin_{};
  std::vector<Reading> remembered_;
  ResourceWatch watch_{file_, begin_};
};

TEST_F(ResourceWatchTest, SeesFilesThreadsAndMemoryOfAProcess) {
  const auto before = testing::ReadResources(getpid());
  ASSERT_TRUE(before);
  EXPECT_GT(before->rss_mib, before->anonymous_mib);
  EXPECT_GE(before->threads, 1);
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(testing::ReadResources(getpid())->files, before->files + 1);
  close(file);
  EXPECT_FALSE(testing::ReadResources(-1));
}

TEST_F(ResourceWatchTest, AProcessThatIsStartedAgainBeginsItsSeriesAnew) {
  watch_.LookAt(begin_, "one", getpid());
  watch_.LookAt(begin_ + seconds(2), "one", getpid());
  ASSERT_EQ(watch_.series().size(), 4U);
  EXPECT_EQ(watch_.series()[0].readings.size(), 2U);
  watch_.LookAt(begin_ + seconds(4), "one", getppid());
  ASSERT_EQ(watch_.series().size(), 8U);
  EXPECT_EQ(watch_.series()[4].begin, seconds(4));
  EXPECT_EQ(watch_.series()[4].readings.size(), 1U);
}

TEST_F(ResourceWatchTest, WhatStaysIsFlatAndToldInALine) {
  Take("coordinator-0 leads", "rss_mib", 0.01);
  Take("coordinator-0 leads", "files", 0);
  EXPECT_TRUE(Promises().empty());
  std::vector<Breach> breaches;
  EXPECT_EQ(JudgeSeries(watch_.series(), remembered_, breaches).size(), 2U);
}

TEST_F(ResourceWatchTest, AProcessMayGrowWhileItIsYoung) {
  for (seconds at{0}; at < minutes(10); at += seconds(2)) {
    const double grown = std::min(3.0, static_cast<double>(at.count()) / 60);
    watch_.Take(begin_ + at, "coordinator-0 leads", "rss_mib", 33 + 2 * grown);
  }
  // And one that does not live for longer is not judged.
  for (seconds at{0}; at < minutes(4); at += seconds(2)) {
    watch_.Take(begin_ + at, "labeler-0", "rss_mib", 20 + static_cast<double>(at.count()) / 30);
  }
  EXPECT_TRUE(Promises().empty());
}

TEST_F(ResourceWatchTest, CatchesEachKindOfLeak) {
  Take("coordinator-0 leads", "rss_mib", 0.6);
  EXPECT_EQ(Promises(), std::vector<std::string>{"T6.3"});
  Take("labeler-1", "files", 1);
  Take("labeler-1", "threads", 1);
  Take("store", "bytes", 4 << 20);
  Take("run folders", "bytes", 1 << 20);
  EXPECT_EQ(Promises(), std::vector<std::string>(5, "T6.3"));
}

TEST_F(ResourceWatchTest, WhatALeaderRemembersOfRunsIsAllowedForItAlone) {
  remembered_ = {{minutes(0), 0}, {minutes(10), 8}};
  Take("coordinator-1 leads", "rss_mib", 0.9);
  EXPECT_TRUE(Promises().empty());
  Take("coordinator-2 leads", "rss_mib", 1.4);
  EXPECT_EQ(Promises(), std::vector<std::string>{"T6.3"}) << "a leak beside it";
  Take("labeler-0", "rss_mib", 0.6);
  Take("coordinator-0 stands by", "rss_mib", 0.6);
  EXPECT_EQ(Promises(), std::vector<std::string>(3, "T6.3"));
}

TEST_F(ResourceWatchTest, ALeaderMayGrowByWhatItRemembersInItsOwnLife) {
  // Nothing for an hour, then ten minutes of runs.
  remembered_ = {{minutes(0), 0}, {minutes(60), 0}, {minutes(70), 8}};
  for (seconds at{0}; at < minutes(10); at += seconds(2)) {
    watch_.Take(begin_ + minutes(60) + at, "coordinator-0 leads", "rss_mib", 30 + static_cast<double>(at.count()) / 75);
  }
  EXPECT_TRUE(Promises().empty());
  Take("coordinator-1 leads", "rss_mib", 0.6);
  EXPECT_EQ(Promises(), std::vector<std::string>{"T6.3"}) << "within the hour";
}

TEST_F(ResourceWatchTest, OnceALeaderForgetsAsManyRunsAsItRemembersItMayNotGrow) {
  remembered_ = {{minutes(0), 0}, {minutes(3), 8}, {minutes(10), 8}};
  Take("coordinator-0 leads", "rss_mib", 0.6);
  EXPECT_EQ(Promises(), std::vector<std::string>{"T6.3"});
  remembered_ = {{minutes(0), 0}, {minutes(3), 8}, {minutes(10), 2}};
  EXPECT_EQ(Promises(), std::vector<std::string>{"T6.3"});
}

TEST_F(ResourceWatchTest, CatchesAProcessThatIsTooLarge) {
  Take("coordinator-0 leads", "rss_mib", 0, 257);
  EXPECT_EQ(Promises(), std::vector<std::string>{"P6"});
}

}  // namespace
}  // namespace ferment::chaos
