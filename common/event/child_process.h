// SPDX-License-Identifier: Apache-2.0
//
// Starts a program in a process group of its own, watches it without blocking, and signals it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::event {

struct ChildProcessOptions {
  /// argv[0] is a path, or a name that is looked up on PATH.
  std::vector<std::string> argv;
  /// Added to, or in place of, this process's own variables.
  std::vector<std::pair<std::string, std::string>> env = {};
  /// Standard output and error are appended to this file; its folder is made. Empty: inherited.
  std::filesystem::path output = {};
  /// Standard error goes to this file in place of `output`, which is then not empty.
  std::filesystem::path errors = {};
  /// Empty: this process's own.
  std::filesystem::path working_dir = {};
};

/// One child. Standard input is /dev/null. The destructor does not end the process: whoever starts one ends it, or
/// records it (process_record.h).
///
/// Thread: one at a time.
class ChildProcess {
 public:
  /// Errors: NotFound with exit code 69 (no such program), PermissionDenied, ResourceExhausted.
  static Result<ChildProcess> Start(const ChildProcessOptions& options);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  std::uint64_t start_time() const { return start_time_; }
  /// Returns: the exit code (128 + signal when one ended it) once the process has ended, else nothing.
  std::optional<int> Poll();
  /// Returns: as Poll, after waiting at most `timeout`.
  std::optional<int> WaitFor(std::chrono::milliseconds timeout);
  /// To the process alone. Does nothing once it has ended.
  void Signal(int number);
  /// To every process of its group.
  void SignalGroup(int number);
  /// TERM to the process, and KILL to its group if it is still there after `grace`. Returns: the exit code.
  int End(std::chrono::milliseconds grace);

 private:
  ChildProcess(pid_t pid, int handle, std::uint64_t start_time) : pid_(pid), handle_(handle), start_time_(start_time) {}

  pid_t pid_ = -1;
  int handle_ = -1;
  std::uint64_t start_time_ = 0;
  std::optional<int> exit_code_;
};

/// Returns: the path of the program that argv[0] `name` would start. Errors: NotFound with exit code 69.
Result<std::filesystem::path> FindProgram(const std::string& name);

/// Returns: the folder of the running program's file, where its siblings lie.
std::filesystem::path ProgramFolder();

}  // namespace ferment::event
