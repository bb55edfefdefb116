// SPDX-License-Identifier: Apache-2.0
#include "common/io/local_file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

/// Memory is cleared for so many bytes at a time, which are in the processor's cache when they are read into.
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

/// A file that is open to be read. Not mapped: where its disk fails, or somebody cuts it short, a read has an error and
/// a mapping has SIGBUS.
class ReadHandle {
 public:
  explicit ReadHandle(const std::filesystem::path& path)
      // Not to wait at a pipe for somebody who writes.
      : path_(path),
        file_(Uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })),
        open_error_(file_ < 0 ? errno : 0) {}
  ~ReadHandle() {
    if (file_ >= 0) ::close(file_);
  }
  ReadHandle(const ReadHandle&) = delete;
  ReadHandle& operator=(const ReadHandle&) = delete;

  /// Returns: bytes of the file; 0 also where it does not tell, as those of /proc.
  Result<std::uint64_t> Size() const {
    if (file_ < 0) return Fail(ReadErrno(open_error_, "cannot open", path_));
    struct stat status = {};
    int error = ::fstat(file_, &status) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(status.st_mode)) error = S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
    if (error != 0) return Fail(ReadErrno(error, "cannot read", path_));
    return static_cast<std::uint64_t>(status.st_size);
  }

  Status Seek(std::uint64_t offset) const {
    if (::lseek(file_, static_cast<off_t>(offset), SEEK_SET) >= 0) return {};
    return ReadErrno(errno, "cannot read", path_);
  }

  /// Returns: the next `count` bytes, or all up to the end.
  template <typename Bytes>
  Result<Bytes> Read(std::optional<std::uint64_t> count) const {
    Bytes bytes;
    bytes.reserve(count.value_or(0));
    std::size_t filled = 0;
    while (!count || filled < *count) {
      if (filled == bytes.size()) bytes.resize(std::min(filled + kPieceBytes, count.value_or(SIZE_MAX)));
      const ssize_t got = Uninterrupted([&] { return ::read(file_, bytes.data() + filled, bytes.size() - filled); });
      if (got < 0) return Fail(ReadErrno(errno, "cannot read", path_));
      if (got == 0) break;
      filled += static_cast<std::size_t>(got);
    }
    if (count && filled < *count) {
      return Fail(UnavailableError("the file was shortened while it was read: path=" + path_.string() +
                                   " bytes=" + std::to_string(filled) + " expected=" + std::to_string(*count))
                      .WithExitCode(exit_code::kBadData));
    }
    bytes.resize(filled);
    return bytes;
  }

 private:
  const std::filesystem::path path_;
  const int file_;
  const int open_error_;
};

template <typename Bytes>
Result<Bytes> ReadWhole(const std::filesystem::path& path) {
  const ReadHandle file(path);
  FERMENT_ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  return file.Read<Bytes>(size > 0 ? std::optional(size) : std::nullopt);
}

class LocalFileSystem final : public FileSystem {
 public:
  Result<std::vector<std::byte>> Read(const std::filesystem::path& path) override { return ReadFile(path); }

  Result<std::vector<std::byte>> ReadRange(const std::filesystem::path& path, std::uint64_t offset,
                                           std::uint64_t size) override {
    const ReadHandle file(path);
    FERMENT_ASSIGN_OR_RETURN(const std::uint64_t bytes, file.Size());
    if (offset > bytes || size > bytes - offset)
      return Fail(OutOfRangeError("range past the end: path=" + path.string() + " offset=" + std::to_string(offset) +
                                  " size=" + std::to_string(size) + " bytes=" + std::to_string(bytes))
                      .WithExitCode(exit_code::kBadData));
    FERMENT_RETURN_IF_ERROR(file.Seek(offset));
    return file.Read<std::vector<std::byte>>(size);
  }

  Result<std::uint64_t> Size(const std::filesystem::path& path) override {
    std::error_code error;
    const std::uint64_t size = std::filesystem::file_size(path, error);
    if (error) return Fail(ReadErrno(error.value(), "cannot find the size", path));
    return size;
  }

  Status Write(const std::filesystem::path& path, std::span<const std::byte> bytes) override {
    FERMENT_RETURN_IF_ERROR(CreateFolders(path.parent_path()));
    return WriteFileAtomically(path, bytes);
  }

  Result<std::vector<std::string>> List(const std::filesystem::path& folder) override { return ListFolder(folder); }

  Status Remove(const std::filesystem::path& path) override {
    std::error_code error;
    std::filesystem::remove(path, error);
    if (error) return WriteErrno(error.value(), "cannot remove", path);
    return {};
  }
};

}  // namespace

std::unique_ptr<FileSystem> MakeLocalFileSystem() { return std::make_unique<LocalFileSystem>(); }

Result<std::vector<std::byte>> ReadFile(const std::filesystem::path& path) {
  return ReadWhole<std::vector<std::byte>>(path);
}

Result<std::string> ReadTextFile(const std::filesystem::path& path) { return ReadWhole<std::string>(path); }

Result<std::vector<std::string>> ListFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  if (error) return Fail(ReadErrno(error.value(), "cannot list the folder", folder));
  std::vector<std::string> names;
  while (entry != std::filesystem::directory_iterator()) {
    std::string name = entry->path().filename().string();
    if (!IsTemporaryName(name)) names.push_back(std::move(name));
    entry.increment(error);
    if (error) return Fail(ReadErrno(error.value(), "cannot list the folder", folder));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ferment::io
