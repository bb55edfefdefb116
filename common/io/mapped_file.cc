// SPDX-License-Identifier: Apache-2.0
#include "common/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/io/errno_status.h"

namespace ferment::io {

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  // Not to wait at a pipe for somebody who writes.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Fail(ReadErrno(errno, "cannot open", path));
  struct stat status = {};
  int error = ::fstat(file, &status) == 0 ? 0 : errno;
  if (error == 0 && !S_ISREG(status.st_mode)) error = S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = nullptr;
  if (error == 0 && size > 0) {
    address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (address == MAP_FAILED) error = errno;
  }
  ::close(file);
  if (error != 0) return Fail(ReadErrno(error, "cannot map", path));
  return MappedFile(std::span(static_cast<const std::byte*>(address), size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace ferment::io
