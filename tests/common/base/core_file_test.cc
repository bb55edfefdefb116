// SPDX-License-Identifier: Apache-2.0
#include "common/base/core_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace ferment {
namespace {

TEST(CoreFile, IsNotLeftByAProcessThatCrashes) {
  const pid_t child = fork();
  if (child == 0) {
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
    LeaveNoCoreFile();
    std::abort();
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(WCOREDUMP(status));
}

TEST(CoreFile, IsNotWrittenThroughAPipeEither) {
  const pid_t child = fork();
  if (child == 0) {
    LeaveNoCoreFile();
    rlimit limit{};
    getrlimit(RLIMIT_CORE, &limit);
    _exit(limit.rlim_cur == 1 || limit.rlim_max == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "core(5): a limit of 0 does not keep the kernel from the pipe, one of 1 does";
}

}  // namespace
}  // namespace ferment
