// SPDX-License-Identifier: Apache-2.0
#include "common/base/inherited_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace ferment {
namespace {

TEST(InheritedStateDeathTest, AFileIsNotOpenedInThePlaceOfAClosedStandardError) {
  const auto in_a_child = [] {
    for (int fd = 0; fd <= 2; ++fd) close(fd);
    MendInheritedState();
    std::exit(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  };
  EXPECT_EXIT(
      in_a_child(), [](int status) { return WIFEXITED(status) && WEXITSTATUS(status) > 2; }, "");
}

TEST(InheritedStateDeathTest, SignalsThatWereBlockedComeAndThoseThatWereIgnoredDoNot) {
  const auto in_a_child = [] {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    std::signal(SIGHUP, SIG_IGN);
    MendInheritedState();
    std::raise(SIGHUP);
    std::raise(SIGTERM);
    std::exit(0);
  };
  EXPECT_EXIT(in_a_child(), ::testing::KilledBySignal(SIGTERM), "");
}

TEST(InheritedStateDeathTest, AFileThatMayNotGrowFailsToBeWritten) {
  const auto in_a_child = [] {
    const rlimit limit{.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    MendInheritedState();
    const int file = open((::testing::TempDir() + "/limited").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const ssize_t first = write(file, "0123456789", 10);
    const ssize_t second = write(file, "more", 4);
    std::exit(first == 10 && second < 0 && errno == EFBIG ? 0 : 1);
  };
  EXPECT_EXIT(in_a_child(), ::testing::ExitedWithCode(0), "");
}

TEST(InheritedStateDeathTest, WhatIsOpenStaysWhatItIs) {
  const auto in_a_child = [] {
    MendInheritedState();
    constexpr char kWord[] = "still here";
    (void)write(STDERR_FILENO, kWord, sizeof kWord);
    std::exit(0);
  };
  EXPECT_EXIT(in_a_child(), ::testing::ExitedWithCode(0), "still here");
}

}  // namespace
}  // namespace ferment
