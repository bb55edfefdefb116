// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_keeper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "common/base/status.h"

namespace ferment::worker {
namespace {

/// A keeper, which is our child, and the rank behind it, which tells its pid by a pipe that it holds to its end.
class KeptRank {
 public:
  explicit KeptRank(const std::function<void()>& body) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    keeper_ = fork();
    if (keeper_ == 0) {
      signal(SIGSEGV, SIG_DFL);  // AddressSanitizer's handler would make an exit of it
      close(ends[0]);
      const pid_t first = getpid();
      StandBehindKeeper(0, nullptr, "cotrain", 1);
      const pid_t own = getpid();
      if (own == first) _exit(99);
      (void)!write(ends[1], &own, sizeof(own));
      body();
      _exit(98);
    }
    close(ends[1]);
    from_rank_ = ends[0];
    EXPECT_EQ(read(from_rank_, &rank_, sizeof(rank_)), static_cast<ssize_t>(sizeof(rank_)));
  }
  ~KeptRank() { close(from_rank_); }
  KeptRank(const KeptRank&) = delete;
  KeptRank& operator=(const KeptRank&) = delete;

  pid_t keeper() const { return keeper_; }
  pid_t rank() const { return rank_; }
  /// Returns: the keeper's status, as waitpid has it.
  int Status() const {
    int status = 0;
    EXPECT_EQ(waitpid(keeper_, &status, 0), keeper_);
    return status;
  }
  /// Returns once rank and keeper hold the pipe no more.
  void AwaitBothGone() const {
    char byte = 0;
    EXPECT_EQ(read(from_rank_, &byte, 1), 0);
  }

 private:
  pid_t keeper_ = -1;
  pid_t rank_ = -1;
  int from_rank_ = -1;
};

[[noreturn]] void WaitForever() {
  for (;;) pause();
}

TEST(RankKeeper, PassesTheRanksCodeOn) {
  for (const int code : {0, 65, 143, 203}) {
    const KeptRank kept([code] { _exit(code); });
    const int status = kept.Status();
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), code);
  }
}

TEST(RankKeeper, LeavesWith201ForARankThatASignalEnded) {
  for (const int signal : {SIGKILL, SIGSEGV}) {
    const KeptRank kept(WaitForever);
    kill(kept.rank(), signal);
    kill(kept.keeper(), SIGTERM);  // the others have spoken
    const int status = kept.Status();
    ASSERT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), exit_code::kPeerLost);
  }
}

TEST(RankKeeper, DoesNotEndByTheSignalsOfMpirunWhileTheRankLives) {
  const KeptRank kept(WaitForever);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) kill(kept.keeper(), signal);
  int status = 0;
  EXPECT_EQ(waitpid(kept.keeper(), &status, WNOHANG), 0);
  kill(kept.rank(), SIGKILL);
  EXPECT_EQ(WEXITSTATUS(kept.Status()), exit_code::kPeerLost);
}

TEST(RankKeeper, ARankDoesNotOutliveItEvenStopped) {
  const KeptRank kept(WaitForever);
  kill(kept.rank(), SIGSTOP);
  kill(kept.keeper(), SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(kept.Status()));
  kept.AwaitBothGone();
}

TEST(RankKeeper, NeitherOutlivesTheLauncher) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    close(ends[0]);
    const KeptRank kept(WaitForever);
    kill(kept.rank(), SIGSTOP);
    _exit(0);
  }
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);  // all three held it
  close(ends[0]);
  waitpid(launcher, nullptr, 0);
}

TEST(RankKeeper, ARankAloneDoesNotOutliveTheLauncher) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    close(ends[0]);
    if (fork() == 0) {
      EndWithLauncher();
      (void)!write(ends[1], "r", 1);
      WaitForever();
    }
    close(ends[1]);
    WaitForever();
  }
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  kill(launcher, SIGKILL);
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "the rank holds it still";
  close(ends[0]);
  waitpid(launcher, nullptr, 0);
}

}  // namespace
}  // namespace ferment::worker
