// SPDX-License-Identifier: Apache-2.0
#include "common/io/read_handle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {

Result<ReadHandle> ReadHandle::Open(const std::filesystem::path& path) {
  // Not to wait at a pipe for somebody who writes.
  const int file = Uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (file < 0) return Fail(ReadErrno(errno, "cannot open", path));
  ReadHandle handle(path, file, 0);
  struct stat status = {};
  int error = ::fstat(file, &status) == 0 ? 0 : errno;
  if (error == 0 && !S_ISREG(status.st_mode)) error = S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
  if (error != 0) return Fail(ReadErrno(error, "cannot read", path));
  handle.size_ = static_cast<std::uint64_t>(status.st_size);
  return handle;
}

ReadHandle::ReadHandle(std::filesystem::path path, int file, std::uint64_t size)
    : path_(std::move(path)), file_(file), size_(size) {}

ReadHandle::ReadHandle(ReadHandle&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), size_(other.size_) {}

ReadHandle::~ReadHandle() {
  if (file_ >= 0) ::close(file_);
}

Result<std::size_t> ReadHandle::ReadAt(std::uint64_t offset, std::span<std::byte> room) const {
  std::size_t filled = 0;
  while (filled < room.size()) {
    const auto left = room.subspan(filled);
    const ssize_t got =
        Uninterrupted([&] { return ::pread(file_, left.data(), left.size(), static_cast<off_t>(offset + filled)); });
    if (got < 0) return Fail(ReadErrno(errno, "cannot read", path_));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

Status ReadHandle::FillAt(std::uint64_t offset, std::span<std::byte> room) const {
  FERMENT_ASSIGN_OR_RETURN(const std::size_t filled, ReadAt(offset, room));
  if (filled == room.size()) return {};
  return UnavailableError("the file was shortened while it was read: path=" + path_.string() +
                          " bytes=" + std::to_string(offset + filled) + " expected=" + std::to_string(size_))
      .WithExitCode(exit_code::kBadData);
}

}  // namespace ferment::io
