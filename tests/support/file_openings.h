// SPDX-License-Identifier: Apache-2.0
//
// Tells when a program that looks at its files from time to time has looked.
#pragma once

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>

#include "common/base/check.h"

namespace ferment::testing {

/// Counts openings from construction on, of the files that bear these names then. Thread: one at a time.
class FileOpenings {
 public:
  FileOpenings() : handle_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) { FERMENT_CHECK(handle_ >= 0); }
  ~FileOpenings() { close(handle_); }
  FileOpenings(const FileOpenings&) = delete;
  FileOpenings& operator=(const FileOpenings&) = delete;

  /// Has `file` opened so many times.
  void Want(const std::filesystem::path& file, int times) {
    const int watch = inotify_add_watch(handle_, file.c_str(), IN_OPEN);
    FERMENT_CHECK(watch >= 0) << file;
    wanted_[watch] = times;
  }
  /// Returns: whether all were, before `patience` was over.
  bool Come(std::chrono::seconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!wanted_.empty() && std::chrono::steady_clock::now() < deadline) {
      pollfd waits{handle_, POLLIN, 0};
      poll(&waits, 1, 100);
      Take();
    }
    return wanted_.empty();
  }

 private:
  void Take() {
    char buffer[4096];
    for (ssize_t got = 0; (got = read(handle_, buffer, sizeof buffer)) > 0;) {
      inotify_event event{};
      for (ssize_t at = 0; at < got; at += static_cast<ssize_t>(sizeof event + event.len)) {
        std::memcpy(&event, buffer + at, sizeof event);
        const auto found = wanted_.find(event.wd);
        if ((event.mask & IN_OPEN) != 0 && found != wanted_.end() && --found->second == 0) wanted_.erase(found);
      }
    }
  }

  const int handle_;
  std::map<int, int> wanted_;
};

}  // namespace ferment::testing
