// SPDX-License-Identifier: Apache-2.0
#include "common/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

#include "common/io/errno_status.h"

namespace ferment::io {
namespace {

constexpr std::string_view kTemporarySuffix = ".ferment-tmp";

std::filesystem::path TemporaryBeside(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> counter = 0;
  return path.parent_path() / ("." + path.filename().string() + "." + std::to_string(::getpid()) + "-" +
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
                   const std::filesystem::path& path) {
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return WriteErrno(errno, "cannot create", path);
  Status status = WriteAll(file, bytes, path);
  if (status.ok() && ::fsync(file) != 0) status = WriteErrno(errno, "cannot sync", path);
  if (::close(file) != 0 && status.ok()) status = WriteErrno(errno, "cannot close", path);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    status = WriteErrno(errno, "cannot rename to", path);
  return status;
}

}  // namespace

Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  const std::filesystem::path temporary = TemporaryBeside(path);
  const Status status = WriteSynced(temporary, bytes, path);
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(path.parent_path());
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  return WriteFileAtomically(path, std::as_bytes(std::span(text)));
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
