// SPDX-License-Identifier: Apache-2.0
#include "common/io/folder_hold.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <span>
#include <thread>
#include <utility>

#include "common/base/json.h"
#include "common/base/logging.h"
#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 50;
constexpr std::chrono::milliseconds kPause{20};
/// Written over in place each time, which needs no room on a disk that has become full.
constexpr std::size_t kHolderBytes = 512;

std::string ThisHost() {
  std::array<char, 256> name = {};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

Status WriteHolder(int handle, const fs::path& file, const std::string& owner) {
  std::string text = Json{{"owner", owner}, {"host", ThisHost()}, {"pid", getpid()}}.dump() + "\n";
  if (text.size() < kHolderBytes) text.resize(kHolderBytes, ' ');
  if (lseek(handle, 0, SEEK_SET) < 0) return WriteErrno(errno, "write", file);
  return WriteAll(handle, std::as_bytes(std::span(text)), "write", file);
}

/// Returns: who is written down; an empty owner where nobody is, or not yet.
FolderHolder ReadHolder(int handle) {
  std::array<char, 4096> text = {};
  const ssize_t size = Uninterrupted([&] { return pread(handle, text.data(), text.size(), 0); });
  const std::string_view line(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  const auto json = ParseJson(std::string(line.substr(0, line.find('\n'))));
  if (!json || !json->is_object()) return {};
  const auto text_of = [&json](const char* name) {
    const auto at = json->find(name);
    return at != json->end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  FolderHolder holder{text_of("owner"), text_of("host")};
  if (const auto pid = json->find("pid"); pid != json->end() && pid->is_number_integer()) pid->get_to(holder.pid);
  holder.on_this_host = holder.host == ThisHost();
  return holder;
}

Status CheckNoCommandRuns(const fs::path& folder) {
  const fs::path file = folder / kCommandLock;
  const int handle = Uninterrupted([&] { return open(file.c_str(), O_RDONLY | O_CLOEXEC); });
  if (handle < 0) return {};
  const bool held = flock(handle, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(handle);
  std::int64_t pid = 0;
  std::ifstream(file) >> pid;
  if (!held || pid == getppid()) return {};
  return AbortedError("a live `ferment run` has this folder: path=" + folder.string() + " pid=" + std::to_string(pid) +
                      "; wait for it, end it with Ctrl-C, or choose another folder with --run-dir")
      .WithExitCode(exit_code::kFenced);
}

Status HeldBy(const FolderHolder& holder, const fs::path& folder) {
  return AbortedError("another process runs this folder: path=" + folder.string() + " run=" + holder.owner +
                      " host=" + holder.host + " pid=" + std::to_string(holder.pid) +
                      "; wait for its end, stop it there, or choose another folder with --run-dir")
      .WithExitCode(exit_code::kFenced);
}

}  // namespace

Result<FolderHold> FolderHold::Take(const fs::path& folder, const std::string& owner,
                                    const std::function<Status()>& end_former) {
  FERMENT_RETURN_IF_ERROR(CreateFolders(folder));
  const fs::path file = folder / kCoordinatorLock;
  const int handle = Uninterrupted([&] { return open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); });
  if (handle < 0) return Fail(WriteErrno(errno, "open", file));
  FolderHold hold(handle);
  for (int tries = 0;; ++tries) {
    // `ferment submit` has the command's lock for an instant, and who only looks the coordinator's.
    const Status command = CheckNoCommandRuns(folder);
    if (command.ok()) {
      FERMENT_ASSIGN_OR_RETURN(const bool taken, hold.TryTake(file, owner, end_former));
      if (taken) return hold;
    }
    if (tries == kTries) return Fail(command.ok() ? HeldBy(ReadHolder(handle), folder) : command);
    std::this_thread::sleep_for(kPause);
  }
}

Result<bool> FolderHold::TryTake(const fs::path& file, const std::string& owner,
                                 const std::function<Status()>& end_former) {
  // Names are written under the exclusive lock and believed under the shared one alone: while anybody holds that, the
  // name stays.
  if (flock(handle_, LOCK_EX | LOCK_NB) == 0) {
    const std::string former = ReadHolder(handle_).owner;
    if (end_former && !former.empty() && former != owner) FERMENT_RETURN_IF_ERROR(end_former());
    FERMENT_RETURN_IF_ERROR(WriteHolder(handle_, file, owner));
  } else if (errno != EWOULDBLOCK) {
    LogWarning("folder.not_locked", {{"file", file.string()},
                                     {"error", WriteErrno(errno, "lock", file).message()},
                                     {"means", "nothing keeps a second process from this run's folder"}});
    return true;
  } else if (ReadHolder(handle_).owner != owner) {
    return false;
  }
  // The exclusive lock ends before the shared one begins, and another may come between.
  if (flock(handle_, LOCK_SH | LOCK_NB) != 0) return false;
  if (ReadHolder(handle_).owner == owner) return true;
  flock(handle_, LOCK_UN);
  return false;
}

FolderHold::FolderHold(FolderHold&& other) noexcept : handle_(std::exchange(other.handle_, -1)) {}

FolderHold::~FolderHold() {
  if (handle_ >= 0) close(handle_);
}

std::optional<FolderHolder> HolderOf(const fs::path& folder) {
  const fs::path file = folder / kCoordinatorLock;
  const int handle = Uninterrupted([&] { return open(file.c_str(), O_RDWR | O_CLOEXEC); });
  if (handle < 0) return std::nullopt;
  std::optional<FolderHolder> holder;
  if (flock(handle, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) holder = ReadHolder(handle);
  close(handle);
  return holder;
}

}  // namespace ferment::io
