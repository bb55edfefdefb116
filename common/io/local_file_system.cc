// SPDX-License-Identifier: Apache-2.0
#include "common/io/local_file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/mapped_file.h"

namespace ferment::io {
namespace {

class LocalFileSystem final : public FileSystem {
 public:
  Result<std::vector<std::byte>> Read(const std::filesystem::path& path) override { return ReadFile(path); }

  Result<std::vector<std::byte>> ReadRange(const std::filesystem::path& path, std::uint64_t offset,
                                           std::uint64_t size) override {
    FERMENT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    const auto bytes = file.bytes();
    if (offset > bytes.size() || size > bytes.size() - offset)
      return Fail(OutOfRangeError("range past the end: path=" + path.string() + " offset=" + std::to_string(offset) +
                                  " size=" + std::to_string(size) + " bytes=" + std::to_string(bytes.size()))
                      .WithExitCode(exit_code::kBadData));
    const auto range = bytes.subspan(offset, size);
    return std::vector<std::byte>(range.begin(), range.end());
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
  FERMENT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return std::vector<std::byte>(file.bytes().begin(), file.bytes().end());
}

Result<std::string> ReadTextFile(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

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
