// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_keeper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "common/base/logging.h"
#include "common/base/status.h"

namespace ferment::worker {
namespace {

constexpr char kName[] = "ferment-keeper";
/// The other ranks need a second to see that one is gone, and a few to tell the coordinator; mpirun ends all of them as
/// soon as the keeper leaves.
constexpr std::chrono::seconds kOthersSpeakFirst(10);

/// Whoever looks for ferment-trainer by name finds the ranks alone.
void TakeName(int argc, char** argv) {
  prctl(PR_SET_NAME, kName);
  if (argc == 0) return;
  char* const end = argv[argc - 1] + std::strlen(argv[argc - 1]);
  const auto room = static_cast<std::size_t>(end - argv[0]);
  std::memset(argv[0], 0, room);
  std::memcpy(argv[0], kName, std::min(room, sizeof(kName) - 1));
}

std::optional<int> StatusOf(pid_t rank) {
  int status = 0;
  const pid_t got = waitpid(rank, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  return got == rank ? status : W_EXITCODE(exit_code::kBug, 0);
}

/// Waits for one of `signals`, at most this long. Returns: whether it was TERM.
bool TermCame(const sigset_t& signals, std::chrono::milliseconds timeout) {
  const timespec wait = {timeout.count() / 1000, timeout.count() % 1000 * 1'000'000};
  return sigtimedwait(&signals, nullptr, &wait) == SIGTERM;
}

[[noreturn]] void Keep(pid_t rank, pid_t launcher, const sigset_t& signals) {
  bool ending = false;
  std::optional<int> status = StatusOf(rank);
  while (!status) {
    ending |= TermCame(signals, std::chrono::seconds(1));
    if (getppid() != launcher) kill(rank, SIGKILL);
    status = StatusOf(rank);
  }
  if (WIFEXITED(*status)) _exit(WEXITSTATUS(*status));
  if (!ending && getppid() == launcher) {
    char host[256] = {};
    gethostname(host, sizeof(host) - 1);
    LogError("rank_killed", {{"host", host},
                             {"pid", rank},
                             {"signal", WTERMSIG(*status)},
                             {"name", strsignal(WTERMSIG(*status))},
                             {"exit_code", exit_code::kPeerLost}});
    const auto until = std::chrono::steady_clock::now() + kOthersSpeakFirst;
    while (!ending && std::chrono::steady_clock::now() < until && getppid() == launcher)
      ending = TermCame(signals, std::chrono::seconds(1));
  }
  _exit(exit_code::kPeerLost);
}

}  // namespace

void StandBehindKeeper(int argc, char** argv, const std::string& job, int rank) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t launcher = getppid();
  const pid_t keeper = getpid();
  const pid_t child = fork();
  if (child > 0) {
    SetUpLogging({.program = "ferment-trainer", .context = {{"job", job}, {"rank", rank}}});
    TakeName(argc, argv);
    Keep(child, launcher, signals);
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper) _exit(exit_code::kKilled);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

void EndWithLauncher() {
  const pid_t launcher = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(exit_code::kKilled);
}

}  // namespace ferment::worker
