// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk_faults.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>

namespace ferment::testing {
namespace {

std::string watched;
DiskFaults::Kind fault;
int fault_at = 0;
int fault_error = 0;
std::atomic<bool> armed = false;
std::atomic<DiskWatcher*> watcher = nullptr;
std::mutex telling;
/// Of handles below the folder, while somebody watches.
std::array<std::string, 4096> paths;
std::atomic<bool> released = false;
std::atomic<int> calls = 0;
enum class Handle : char { kForeign, kRead, kWritten };
/// What the handles are of: files below the folder, or others.
std::array<std::atomic<Handle>, 4096> handles;

bool IsKnown(int handle) { return handle >= 0 && handle < static_cast<int>(handles.size()); }
Handle HandleOf(int handle) {
  return IsKnown(handle) ? handles.at(static_cast<std::size_t>(handle)).load() : Handle::kForeign;
}
void SetHandle(int handle, Handle kind) {
  if (IsKnown(handle)) handles.at(static_cast<std::size_t>(handle)) = kind;
}

bool IsOurs(int handle) { return HandleOf(handle) != Handle::kForeign; }

bool IsOurs(int folder, const char* path) {
  return (armed || watcher != nullptr) &&
         (path[0] == '/' ? std::string_view(path).starts_with(watched) : IsOurs(folder));
}

enum class Call { kCreate, kWrite, kTruncate, kSync, kClose, kName };

bool IsCounted(Call call) {
  if (fault == DiskFaults::Kind::kInterrupt) return call != Call::kName;
  return fault != DiskFaults::Kind::kShort || call == Call::kWrite;
}

/// Returns: whether the call is to fail, with errno set. A write that is to be short does not fail.
bool Fails(Call kind) {
  if (!armed || !IsCounted(kind)) return false;
  const int call = ++calls;
  if (fault == DiskFaults::Kind::kHold) {
    if (call >= fault_at) released.wait(false);
    return false;
  }
  errno = fault == DiskFaults::Kind::kInterrupt ? EINTR : fault_error;
  if (fault == DiskFaults::Kind::kFailFrom) return call >= fault_at;
  if (fault == DiskFaults::Kind::kShort) return fault_error != 0 && call == fault_at + 1;
  if (call != fault_at) return false;
  if (fault == DiskFaults::Kind::kKill) ::kill(getpid(), SIGKILL);
  return true;
}

/// Requires: the write was asked about by Fails.
size_t BytesOfWrite(size_t size) {
  return armed && fault == DiskFaults::Kind::kShort && calls == fault_at ? (size + 1) / 2 : size;
}

/// Has the watcher, where there is one, told by `told`. errno stays.
template <typename Told>
void Tell(const Told& told) {
  if (watcher == nullptr) return;
  const int error = errno;
  {
    const std::lock_guard lock(telling);
    if (DiskWatcher* to = watcher) told(*to);
  }
  errno = error;
}

std::string FullPath(int folder, const char* path) {
  return path[0] == '/' ? path : paths.at(static_cast<std::size_t>(folder)) + "/" + path;
}

int Open(int folder, const char* path, int flags, mode_t mode) {
  const bool mine = IsOurs(folder, path);
  const bool creates = (flags & O_CREAT) != 0;
  if (mine && creates && Fails(Call::kCreate)) return -1;
  const int handle = static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
  SetHandle(handle, !mine ? Handle::kForeign : creates ? Handle::kWritten : Handle::kRead);
  if (mine && IsKnown(handle)) {
    Tell([&](DiskWatcher& to) {
      std::string& full = paths.at(static_cast<std::size_t>(handle));
      full = FullPath(folder, path);
      to.Opened(handle, full, creates, (flags & O_TRUNC) != 0);
    });
  }
  return handle;
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned)) : 0;
}

}  // namespace

DiskFaults::DiskFaults(const std::filesystem::path& folder, Kind kind, int at, int error) {
  watched = folder.string();
  fault = kind;
  fault_at = at;
  fault_error = error;
  calls = 0;
  released = false;
  armed = true;
}

void WatchDisk(DiskWatcher* to, const std::filesystem::path& folder) {
  const std::lock_guard lock(telling);
  if (to != nullptr) watched = folder.string();
  watcher = to;
}

DiskFaults::~DiskFaults() {
  armed = false;
  Release();
}

bool DiskFaults::happened() const { return calls >= fault_at; }

void DiskFaults::Release() {
  released = true;
  released.notify_all();
}

}  // namespace ferment::testing

// In place of libc's, for the program and for the libraries that it loads.
extern "C" {

using namespace ferment::testing;

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(folder, path, flags, mode);
}
ssize_t write(int handle, const void* bytes, size_t size) {
  if (!IsOurs(handle)) return syscall(SYS_write, handle, bytes, size);
  if (Fails(Call::kWrite)) return -1;
  const ssize_t written = syscall(SYS_write, handle, bytes, BytesOfWrite(size));
  if (written > 0) {
    Tell([&](DiskWatcher& to) {
      const off_t end = lseek(handle, 0, SEEK_CUR);
      to.Wrote(handle, static_cast<std::uint64_t>(end - written),
               {static_cast<const char*>(bytes), static_cast<std::size_t>(written)});
    });
  }
  return written;
}
ssize_t pwrite64(int handle, const void* bytes, size_t size, off64_t at) {
  if (!IsOurs(handle)) return syscall(SYS_pwrite64, handle, bytes, size, at);
  if (Fails(Call::kWrite)) return -1;
  const ssize_t written = syscall(SYS_pwrite64, handle, bytes, BytesOfWrite(size), at);
  if (written > 0) {
    Tell([&](DiskWatcher& to) {
      to.Wrote(handle, static_cast<std::uint64_t>(at),
               {static_cast<const char*>(bytes), static_cast<std::size_t>(written)});
    });
  }
  return written;
}
int ftruncate64(int handle, off64_t size) noexcept {
  if (IsOurs(handle) && Fails(Call::kTruncate)) return -1;
  const int cut = static_cast<int>(syscall(SYS_ftruncate, handle, size));
  if (cut == 0 && IsOurs(handle))
    Tell([&](DiskWatcher& to) { to.Truncated(handle, static_cast<std::uint64_t>(size)); });
  return cut;
}
int fdatasync(int handle) {
  if (IsOurs(handle) && Fails(Call::kSync)) return -1;
  const int synced = static_cast<int>(syscall(SYS_fdatasync, handle));
  if (synced == 0 && IsOurs(handle)) Tell([&](DiskWatcher& to) { to.Synced(handle); });
  return synced;
}
int fsync(int handle) {
  if (IsOurs(handle) && Fails(Call::kSync)) return -1;
  const int synced = static_cast<int>(syscall(SYS_fsync, handle));
  if (synced == 0 && IsOurs(handle)) Tell([&](DiskWatcher& to) { to.Synced(handle); });
  return synced;
}
int close(int handle) {
  const bool fails = armed && HandleOf(handle) == Handle::kWritten && Fails(Call::kClose);
  const int error = errno;
  SetHandle(handle, Handle::kForeign);
  const int closed = static_cast<int>(syscall(SYS_close, handle));
  if (fails) errno = error;
  return fails ? -1 : closed;
}
int rename(const char* from, const char* to) noexcept {
  const bool mine = IsOurs(AT_FDCWD, to);
  if (mine && Fails(Call::kName)) return -1;
  const int renamed = static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
  if (mine && renamed == 0) Tell([&](DiskWatcher& told) { told.Renamed(from, to); });
  return renamed;
}
int mkdir(const char* path, mode_t mode) noexcept {
  const bool mine = IsOurs(AT_FDCWD, path);
  if (mine && Fails(Call::kName)) return -1;
  const int made = static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
  if (mine && made == 0) Tell([&](DiskWatcher& to) { to.MadeFolder(path); });
  return made;
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  const bool mine = IsOurs(folder, path);
  if (mine && Fails(Call::kName)) return -1;
  const int removed = static_cast<int>(syscall(SYS_unlinkat, folder, path, flags));
  if (mine && removed == 0) Tell([&](DiskWatcher& to) { to.Removed(FullPath(folder, path)); });
  return removed;
}
int unlink(const char* path) noexcept { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) noexcept { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) noexcept {
  const int removed = unlinkat(AT_FDCWD, path, 0);
  return removed != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : removed;
}

}  // extern "C"
