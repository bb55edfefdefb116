// SPDX-License-Identifier: Apache-2.0
#include "common/io/local_file_system.h"

#include <algorithm>
#include <span>
#include <system_error>

#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/read_handle.h"

namespace ferment::io {
namespace {

/// Memory is cleared for so many bytes at a time, which are in the processor's cache when they are read into.
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

/// Returns: the file's bytes of when it was opened; of one that does not tell how many, all up to its end.
template <typename Bytes>
Result<Bytes> ReadWhole(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const ReadHandle file, ReadHandle::Open(path));
  Bytes bytes;
  const auto grow_to = [&bytes](std::size_t size) {
    const std::size_t begin = bytes.size();
    bytes.resize(size);
    return std::as_writable_bytes(std::span(bytes)).subspan(begin);
  };
  bytes.reserve(file.size());
  while (bytes.size() < file.size()) {
    const std::size_t begin = bytes.size();
    FERMENT_RETURN_IF_ERROR(file.FillAt(begin, grow_to(std::min(begin + kPieceBytes, file.size()))));
  }
  for (bool ended = file.size() > 0; !ended;) {
    const std::size_t begin = bytes.size();
    FERMENT_ASSIGN_OR_RETURN(const std::size_t got, file.ReadAt(begin, grow_to(begin + kPieceBytes)));
    bytes.resize(begin + got);
    ended = got < kPieceBytes;
  }
  return bytes;
}

class LocalFileSystem final : public FileSystem {
 public:
  Result<std::vector<std::byte>> Read(const std::filesystem::path& path) override { return ReadFile(path); }

  Result<std::vector<std::byte>> ReadRange(const std::filesystem::path& path, std::uint64_t offset,
                                           std::uint64_t size) override {
    FERMENT_ASSIGN_OR_RETURN(const ReadHandle file, ReadHandle::Open(path));
    if (offset > file.size() || size > file.size() - offset)
      return Fail(OutOfRangeError("range past the end: path=" + path.string() + " offset=" + std::to_string(offset) +
                                  " size=" + std::to_string(size) + " bytes=" + std::to_string(file.size()))
                      .WithExitCode(exit_code::kBadData));
    std::vector<std::byte> bytes(size);
    FERMENT_RETURN_IF_ERROR(file.FillAt(offset, bytes));
    return bytes;
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
