// SPDX-License-Identifier: Apache-2.0
#include "common/event/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/event/process_record.h"

namespace ferment::event {
namespace {

/// The spawn attributes and file actions of one start, released together.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_init(&actions_);
  }
  ~SpawnPlan() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  void Fill(const ChildProcessOptions& options) {
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!options.output.empty()) {
      posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                       0644);
      if (options.errors.empty()) {
        posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
      } else {
        posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, options.errors.c_str(),
                                         O_WRONLY | O_CREAT | O_APPEND, 0644);
      }
    }
    // Listening sockets and the database of the parent must not live on in a child that outlives it.
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    if (!options.working_dir.empty()) {
      posix_spawn_file_actions_addchdir_np(&actions_, options.working_dir.c_str());
    }
  }

  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

std::vector<std::string> Environment(const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> result;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view line(*variable);
    const std::string_view name = line.substr(0, line.find('='));
    bool replaced = false;
    for (const auto& [key, value] : changes) replaced = replaced || key == name;
    if (!replaced) result.emplace_back(line);
  }
  for (const auto& [key, value] : changes) result.push_back(key + "=" + value);
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

Status SpawnError(int error, const std::string& program) {
  const std::string message = "cannot start a program: program=" + program + " error=" + strerror(error);
  if (error == EACCES) return PermissionDeniedError(message + "; make the file executable");
  if (error == EAGAIN || error == ENOMEM) return ResourceExhaustedError(message);
  return NotFoundError(message).WithExitCode(exit_code::kMissingService);
}

/// By number: glibc's wrapper lacks C linkage in the header that Debian 12 ships.
int OpenHandle(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

int ExitCodeOf(const siginfo_t& info) { return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status; }

}  // namespace

Result<std::filesystem::path> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (access(name.c_str(), X_OK) == 0) return std::filesystem::path(name);
  } else {
    const char* path = getenv("PATH");
    std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
    while (!rest.empty()) {
      const std::size_t colon = rest.find(':');
      const auto candidate = std::filesystem::path(rest.substr(0, colon)) / name;
      std::error_code ignored;
      if (access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate, ignored))
        return candidate;
      rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
  }
  return Fail(NotFoundError("no such program: program=" + name).WithExitCode(exit_code::kMissingService));
}

std::filesystem::path ProgramFolder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

Result<ChildProcess> ChildProcess::Start(const ChildProcessOptions& options) {
  FERMENT_CHECK(!options.argv.empty()) << "a child process needs an argv";
  FERMENT_ASSIGN_OR_RETURN(const auto program, FindProgram(options.argv[0]));
  std::error_code ignored;
  if (options.output.has_parent_path()) std::filesystem::create_directories(options.output.parent_path(), ignored);
  SpawnPlan plan;
  plan.Fill(options);
  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> environment = Environment(options.env);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), plan.actions(), plan.attributes(), Pointers(arguments).data(),
                                Pointers(environment).data());
  if (error != 0) return Fail(SpawnError(error, program));
  const auto stat = ReadProcessStat(pid);
  return ChildProcess(pid, OpenHandle(pid), stat ? stat->start_time : 0);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      handle_(std::exchange(other.handle_, -1)),
      start_time_(other.start_time_),
      exit_code_(other.exit_code_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(handle_, other.handle_);
  std::swap(start_time_, other.start_time_);
  std::swap(exit_code_, other.exit_code_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (handle_ >= 0) close(handle_);
}

std::optional<int> ChildProcess::Poll() {
  if (exit_code_ || pid_ <= 0) return exit_code_;
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0 && info.si_pid == pid_) {
    exit_code_ = ExitCodeOf(info);
    // Whoever keeps the object keeps no file of a process that is gone.
    if (handle_ >= 0) close(std::exchange(handle_, -1));
  }
  return exit_code_;
}

std::optional<int> ChildProcess::WaitFor(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!Poll()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    // Without a pidfd (an old kernel) this looks again every 10 ms.
    pollfd waiting{handle_, POLLIN, 0};
    const long long slice = handle_ >= 0 ? left.count() : 10;
    poll(&waiting, handle_ >= 0 ? 1 : 0, static_cast<int>(std::min<long long>(slice, 60'000)));
  }
  return exit_code_;
}

void ChildProcess::Signal(int number) {
  if (!Poll() && pid_ > 0) kill(pid_, number);
}

void ChildProcess::SignalGroup(int number) {
  if (!Poll() && pid_ > 0) kill(-pid_, number);
}

int ChildProcess::End(std::chrono::milliseconds grace) {
  Signal(SIGTERM);
  if (!WaitFor(grace)) {
    SignalGroup(SIGKILL);
    WaitFor(std::chrono::seconds(10));
  }
  return exit_code_.value_or(exit_code::kKilled);
}

}  // namespace ferment::event
