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
#include <system_error>
#include <utility>

namespace ferment::testing {
namespace {

std::string watched;
DiskFaults::Kind fault;
int fault_at = 0;
int fault_error = 0;
std::atomic<bool> armed = false;
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
  return armed && (path[0] == '/' ? std::string_view(path).starts_with(watched) : IsOurs(folder));
}

enum class Call { kCreate, kWrite, kTruncate, kSync, kClose, kName };

bool IsCounted(Call call) {
  if (fault == DiskFaults::Kind::kInterrupt) return call != Call::kName;
  return fault != DiskFaults::Kind::kShort || call == Call::kWrite;
}

/// Returns: whether the call is to fail, with errno set. A write that is to be short does not fail.
bool Fails(Call kind) {
  if (!IsCounted(kind)) return false;
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

std::function<void(DiskCall)> told;
std::mutex one_at_a_time;

/// While it is held, no other thread's call comes between a call and the word of it.
std::unique_lock<std::mutex> InTurn(bool ours) {
  return armed && ours && told ? std::unique_lock(one_at_a_time) : std::unique_lock<std::mutex>();
}

std::filesystem::path Below(int folder, const char* path) {
  std::error_code ignored;
  const std::filesystem::path parent =
      path[0] == '/' ? std::filesystem::path()
                     : std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(folder), ignored);
  return (parent / path).lexically_normal().lexically_relative(watched);
}

std::uint64_t InodeOf(int handle) {
  struct stat status = {};
  return fstat(handle, &status) == 0 ? status.st_ino : 0;
}

/// Requires: the turn.
void Tell(const std::unique_lock<std::mutex>& turn, bool done, const std::function<DiskCall()>& call) {
  const int error = errno;
  if (turn && done) told(call());
  errno = error;
}

int Open(int folder, const char* path, int flags, mode_t mode) {
  const bool mine = IsOurs(folder, path);
  const bool creates = (flags & O_CREAT) != 0;
  if (mine && creates && Fails(Call::kCreate)) return -1;
  const auto turn = InTurn(mine);
  const bool is_new = turn && creates && syscall(SYS_faccessat, folder, path, F_OK) != 0;
  const int handle = static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
  SetHandle(handle, !mine ? Handle::kForeign : creates ? Handle::kWritten : Handle::kRead);
  Tell(turn, handle >= 0 && is_new, [&] {
    return DiskCall{.kind = DiskCall::Kind::kCreate, .path = Below(folder, path), .inode = InodeOf(handle)};
  });
  Tell(turn, handle >= 0 && !is_new && (flags & O_TRUNC) != 0,
       [&] { return DiskCall{.kind = DiskCall::Kind::kTruncate, .inode = InodeOf(handle)}; });
  return handle;
}

ssize_t Written(const std::unique_lock<std::mutex>& turn, int handle, const void* bytes, ssize_t size, off64_t at) {
  Tell(turn, size > 0, [&] {
    return DiskCall{.kind = DiskCall::Kind::kWrite,
                    .inode = InodeOf(handle),
                    .at = static_cast<std::uint64_t>(at),
                    .bytes = std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))};
  });
  return size;
}

int Sync(int handle, long call) {
  if (!armed || !IsOurs(handle)) return static_cast<int>(syscall(call, handle));
  if (Fails(Call::kSync)) return -1;
  const auto turn = InTurn(true);
  Tell(turn, true, [&] { return DiskCall{.kind = DiskCall::Kind::kSync, .inode = InodeOf(handle)}; });
  return turn ? 0 : static_cast<int>(syscall(call, handle));
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

DiskFaults::DiskFaults(const std::filesystem::path& folder, std::function<void(DiskCall)> each)
    : DiskFaults(folder, Kind::kFail, 0) {
  const std::lock_guard lock(one_at_a_time);
  told = std::move(each);
}

DiskFaults::~DiskFaults() {
  const std::lock_guard lock(one_at_a_time);
  armed = false;
  told = nullptr;
  Release();
}

void DiskFaults::FailFrom(int at) {
  fault = at == 0 ? Kind::kFail : Kind::kFailFrom;
  fault_error = EIO;
  fault_at = at == 0 ? 0 : calls + at;
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
  if (!armed || !IsOurs(handle)) return syscall(SYS_write, handle, bytes, size);
  if (Fails(Call::kWrite)) return -1;
  const auto turn = InTurn(true);
  const ssize_t written = syscall(SYS_write, handle, bytes, BytesOfWrite(size));
  return Written(turn, handle, bytes, written, turn ? lseek64(handle, 0, SEEK_CUR) - written : 0);
}
ssize_t pwrite64(int handle, const void* bytes, size_t size, off64_t at) {
  if (!armed || !IsOurs(handle)) return syscall(SYS_pwrite64, handle, bytes, size, at);
  if (Fails(Call::kWrite)) return -1;
  const auto turn = InTurn(true);
  return Written(turn, handle, bytes, syscall(SYS_pwrite64, handle, bytes, BytesOfWrite(size), at), at);
}
int ftruncate64(int handle, off64_t size) noexcept {
  const bool ours = armed && IsOurs(handle);
  if (ours && Fails(Call::kTruncate)) return -1;
  const auto turn = InTurn(ours);
  const int cut = static_cast<int>(syscall(SYS_ftruncate, handle, size));
  Tell(turn, cut == 0, [&] {
    return DiskCall{
        .kind = DiskCall::Kind::kTruncate, .inode = InodeOf(handle), .at = static_cast<std::uint64_t>(size)};
  });
  return cut;
}
int fdatasync(int handle) { return Sync(handle, SYS_fdatasync); }
int fsync(int handle) { return Sync(handle, SYS_fsync); }
int close(int handle) {
  const bool fails = armed && HandleOf(handle) == Handle::kWritten && Fails(Call::kClose);
  const int error = errno;
  SetHandle(handle, Handle::kForeign);
  const int closed = static_cast<int>(syscall(SYS_close, handle));
  if (fails) errno = error;
  return fails ? -1 : closed;
}
int rename(const char* from, const char* to) noexcept {
  const bool ours = IsOurs(AT_FDCWD, to);
  if (ours && Fails(Call::kName)) return -1;
  const auto turn = InTurn(ours);
  const int renamed = static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
  Tell(turn, renamed == 0, [&] {
    return DiskCall{.kind = DiskCall::Kind::kRename, .path = Below(AT_FDCWD, from), .to = Below(AT_FDCWD, to)};
  });
  return renamed;
}
int mkdir(const char* path, mode_t mode) noexcept {
  const bool ours = IsOurs(AT_FDCWD, path);
  if (ours && Fails(Call::kName)) return -1;
  const auto turn = InTurn(ours);
  const int made = static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
  Tell(turn, made == 0, [&] {
    struct stat status = {};
    stat(path, &status);
    return DiskCall{.kind = DiskCall::Kind::kMakeFolder, .path = Below(AT_FDCWD, path), .inode = status.st_ino};
  });
  return made;
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  const bool ours = IsOurs(folder, path);
  if (ours && Fails(Call::kName)) return -1;
  const auto turn = InTurn(ours);
  const std::filesystem::path gone = turn ? Below(folder, path) : std::filesystem::path();
  const int removed = static_cast<int>(syscall(SYS_unlinkat, folder, path, flags));
  Tell(turn, removed == 0, [&] { return DiskCall{.kind = DiskCall::Kind::kRemove, .path = gone}; });
  return removed;
}
int unlink(const char* path) noexcept { return unlinkat(AT_FDCWD, path, 0); }
int remove(const char* path) noexcept {
  const int removed = unlinkat(AT_FDCWD, path, 0);
  return removed != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : removed;
}

}  // extern "C"
