// SPDX-License-Identifier: Apache-2.0
#include "common/base/line_stream.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

namespace ferment {
namespace {

bool IsRegularFile(int fd) {
  struct stat found {};
  return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

}  // namespace

LineStream::LineStream(int fd, std::chrono::milliseconds patience)
    : fd_(fd), patience_(patience), piece_(IsRegularFile(fd) ? SSIZE_MAX : PIPE_BUF) {}

bool LineStream::WaitsForRoom() {
  const auto patience = stands_still_ ? std::chrono::milliseconds(0) : patience_;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
    const int ready = poll(&room, 1, static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    stands_still_ = ready == 0;
    return ready > 0;
  }
}

bool LineStream::WriteAll(std::string_view text) {
  while (!text.empty()) {
    if (!WaitsForRoom()) return false;
    const ssize_t written = write(fd_, text.data(), std::min(text.size(), piece_));
    if (written < 0 && errno != EINTR) return false;
    if (written <= 0) continue;
    const auto taken = static_cast<std::size_t>(written);
    torn_ = text[taken - 1] != '\n';
    text.remove_prefix(taken);
  }
  return true;
}

bool LineStream::Write(std::string_view line) { return torn_ ? WriteAll('\n' + std::string(line)) : WriteAll(line); }

}  // namespace ferment
