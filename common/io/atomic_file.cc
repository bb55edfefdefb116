// SPDX-License-Identifier: Apache-2.0
#include "common/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <string>
#include <system_error>

#include "common/io/errno_status.h"

namespace ferment::io {
namespace {

constexpr std::string_view kTemporarySuffix = ".ferment-tmp";

std::string TemporaryPrefix(const std::filesystem::path& path) { return "." + path.filename().string() + "."; }

/// Two containers that share a folder may both be process 1, and none may rename the other's file.
std::filesystem::path TemporaryBeside(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> counter = 0;
  static const std::string machine = std::to_string(std::random_device()());
  return path.parent_path() / (TemporaryPrefix(path) + machine + "-" + std::to_string(::getpid()) + "-" +
                               std::to_string(counter.fetch_add(1)) + std::string(kTemporarySuffix));
}

Status WriteAll(int file, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteErrno(errno, "cannot write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status WriteSynced(const std::filesystem::path& temporary, std::span<const std::byte> bytes,
                   const std::filesystem::path& path, const std::function<Status()>& may_appear) {
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return WriteErrno(errno, "cannot create", path);
  Status status = WriteAll(file, bytes, path);
  if (status.ok() && ::fsync(file) != 0) status = WriteErrno(errno, "cannot sync", path);
  if (::close(file) != 0 && status.ok()) status = WriteErrno(errno, "cannot close", path);
  if (status.ok() && may_appear) status = may_appear();
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    status = WriteErrno(errno, "cannot rename to", path);
  return status;
}

Status Replace(const std::filesystem::path& path, std::span<const std::byte> bytes,
               const std::function<Status()>& may_appear) {
  const std::filesystem::path temporary = TemporaryBeside(path);
  const Status status = WriteSynced(temporary, bytes, path, may_appear);
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(path.parent_path());
}

}  // namespace

Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  return Replace(path, bytes, nullptr);
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  return Replace(path, std::as_bytes(std::span(text)), nullptr);
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text,
                           const std::function<Status()>& may_appear) {
  return Replace(path, std::as_bytes(std::span(text)), may_appear);
}

Status RemoveTemporariesOf(const std::filesystem::path& path) {
  const std::string prefix = TemporaryPrefix(path);
  std::error_code error;
  std::filesystem::directory_iterator entry(path.parent_path(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix) || !IsTemporaryName(name)) continue;
    // What stands between is numbers alone, else it is of a file with a longer name.
    const std::size_t end = name.size() - kTemporarySuffix.size();
    if (name.find_first_not_of("0123456789-", prefix.size()) != end) continue;
    if (::unlink(entry->path().c_str()) != 0 && errno != ENOENT) {
      return WriteErrno(errno, "cannot remove", entry->path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return WriteErrno(error.value(), "cannot list the folder of", path);
  }
  return {};
}

Status CreateFolders(const std::filesystem::path& folder) {
  if (folder.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return WriteErrno(error.value(), "cannot create the folder", folder);
  return {};
}

Status SyncFolder(const std::filesystem::path& folder) {
  const std::filesystem::path opened = folder.empty() ? std::filesystem::path(".") : folder;
  const int handle = ::open(opened.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return WriteErrno(errno, "cannot open the folder", opened);
  const bool synced = ::fsync(handle) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(handle);
  return synced ? Status() : WriteErrno(error, "cannot sync the folder", opened);
}

bool IsTemporaryName(std::string_view name) { return name.starts_with('.') && name.ends_with(kTemporarySuffix); }

}  // namespace ferment::io
