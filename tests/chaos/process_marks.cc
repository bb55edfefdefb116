// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/process_marks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/base/check.h"
#include "common/event/process_record.h"

namespace ferment::chaos {
namespace {

constexpr char kVariable[] = "FERMENT_CHAOS_MARK";

std::string BytesOf(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool Carries(pid_t pid, const std::string& mark) {
  const std::string environment = '\0' + BytesOf("/proc/" + std::to_string(pid) + "/environ");
  const std::string wanted = '\0' + std::string(kVariable) + "=" + mark;
  const std::size_t found = environment.find(wanted);
  if (found == std::string::npos || found + wanted.size() >= environment.size()) return false;
  const char next = environment[found + wanted.size()];
  return next == '\0' || next == '/';
}

bool Runs(pid_t pid, const std::string& program) {
  std::error_code gone;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", gone).filename() == program;
}

void SweepWhenClosed(int end_of_life, const std::string& mark) {
  char byte = 0;
  while (read(end_of_life, &byte, 1) < 0 && errno == EINTR) {
  }
  EndMarked(mark);
}

}  // namespace

std::string NewMark() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return std::to_string(getpid()) + "-" + std::to_string(now);
}

void MarkDescendants(const std::string& mark) { FERMENT_CHECK(setenv(kVariable, mark.c_str(), 1) == 0); }

std::vector<pid_t> MarkedProcesses(const std::string& mark, const std::string& program) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == getpid()) continue;
    if (!program.empty() && !Runs(pid, program)) continue;
    if (!event::ProcessStartTime(pid) || !Carries(pid, mark)) continue;
    found.push_back(pid);
  }
  return found;
}

void EndMarked(const std::string& mark) {
  for (int round = 0; round < 200; ++round) {
    const std::vector<pid_t> left = MarkedProcesses(mark);
    if (left.empty()) return;
    for (const pid_t pid : left) kill(pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void StartSweeper(const std::string& mark) {
  int ends[2];
  FERMENT_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t first = fork();
  FERMENT_CHECK(first >= 0);
  if (first == 0) {
    close(ends[1]);
    setsid();
    // A test runner that gives up on us kills our children by their parent: this one has another.
    if (fork() == 0) SweepWhenClosed(ends[0], mark);
    _exit(0);
  }
  waitpid(first, nullptr, 0);
  close(ends[0]);
  // ends[1] stays open for as long as this process lives.
}

}  // namespace ferment::chaos
