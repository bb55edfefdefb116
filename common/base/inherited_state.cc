// SPDX-License-Identifier: Apache-2.0
#include "common/base/inherited_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace ferment {

void MendInheritedState() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    // The lowest that is free is this one.
    if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", O_RDWR);
  }
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace ferment
