// SPDX-License-Identifier: Apache-2.0
#include "common/base/inherited_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

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
