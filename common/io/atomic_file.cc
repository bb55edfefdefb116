// SPDX-License-Identifier: Apache-2.0
#include "common/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <string>
#include <system_error>

#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

constexpr std::string_view kTemporarySuffix = ".ferment-tmp";

std::string TemporaryPrefix(const std::filesystem::path& path) { return "." + path.filename().string() + "."; }

/// Two containers that share a folder may both be process 1, and none may rename the other's file.
std::filesystem::path TemporaryBeside(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> counter = 0;
  static const unsigned machine = std::random_device()();
  return path.parent_path() / (TemporaryPrefix(path) + std::to_string(machine) + "-" + std::to_string(::getpid()) +
                               "-" + std::to_string(counter.fetch_add(1)) + std::string(kTemporarySuffix));
}

/// Removes the temporary files in `folder` for which `of_these` is true.
Status RemoveTemporaries(const std::filesystem::path& folder,
                         const std::function<bool(const std::filesystem::path&)>& of_these) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!IsTemporaryName(entry->path().filename().string()) || !of_these(entry->path())) continue;
    if (::unlink(entry->path().c_str()) != 0 && errno != ENOENT) {
      return WriteErrno(errno, "cannot remove", entry->path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return WriteErrno(error.value(), "cannot list", folder);
  }
  return {};
}

/// Who made the folder may have been killed before its name was synced. A parent that we may not read, we did not
/// write either.
Status SyncNameOf(const std::filesystem::path& folder) {
  Status synced = SyncFolder(folder.parent_path());
  return synced.code() == StatusCode::kPermissionDenied ? Status() : synced;
}

/// A rename takes the place of anything but a folder: of /dev/null too, where it may.
Status CheckReplaceable(const std::filesystem::path& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISLNK(status.st_mode) ||
      S_ISDIR(status.st_mode)) {
    return {};
  }
  return FailedPreconditionError("a device, pipe or socket is not replaced by a file: path=" + path.string())
      .WithExitCode(exit_code::kCannotWrite);
}

}  // namespace

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path) {
  FERMENT_RETURN_IF_ERROR(CheckReplaceable(path));
  std::filesystem::path temporary = TemporaryBeside(path);
  const int handle =
      Uninterrupted([&] { return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644); });
  if (handle < 0) return Fail(WriteErrno(errno, "cannot create", path));
  return AtomicFile(path, std::move(temporary), handle);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      handle_(std::exchange(other.handle_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  path_ = std::move(other.path_);
  temporary_ = std::exchange(other.temporary_, {});
  handle_ = std::exchange(other.handle_, -1);
  return *this;
}

AtomicFile::~AtomicFile() { Abandon(); }

void AtomicFile::Abandon() {
  if (handle_ >= 0) ::close(handle_);
  handle_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

Status AtomicFile::Append(std::span<const std::byte> bytes) { return WriteAll(handle_, bytes, "cannot write", path_); }

Status AtomicFile::Append(std::string_view text) { return Append(std::as_bytes(std::span(text))); }

Status AtomicFile::SyncSoFar() {
  if (Uninterrupted([&] { return ::fdatasync(handle_); }) != 0) return WriteErrno(errno, "cannot sync", path_);
  return {};
}

Status AtomicFile::Close() {
  // Linux has closed the file also where it says EINTR.
  if (::close(std::exchange(handle_, -1)) != 0 && errno != EINTR) return WriteErrno(errno, "cannot close", path_);
  return {};
}

Status AtomicFile::Appear(const std::function<Status()>& may_appear) {
  if (Uninterrupted([&] { return ::fsync(handle_); }) != 0) return WriteErrno(errno, "cannot sync", path_);
  FERMENT_RETURN_IF_ERROR(Close());
  if (may_appear) FERMENT_RETURN_IF_ERROR(may_appear());
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return WriteErrno(errno, "cannot rename to", path_);
  temporary_.clear();
  return SyncFolder(path_.parent_path());
}

Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes,
                           const std::function<Status()>& may_appear) {
  FERMENT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  FERMENT_RETURN_IF_ERROR(file.Append(bytes));
  return file.Appear(may_appear);
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text,
                           const std::function<Status()>& may_appear) {
  return WriteFileAtomically(path, std::as_bytes(std::span(text)), may_appear);
}

Status RemoveTemporariesOf(const std::filesystem::path& path) {
  const std::string prefix = TemporaryPrefix(path);
  return RemoveTemporaries(path.parent_path(), [&prefix](const std::filesystem::path& temporary) {
    const std::string name = temporary.filename().string();
    // What stands between is numbers alone, else it is of a file with a longer name.
    const std::size_t end = name.size() - kTemporarySuffix.size();
    return name.starts_with(prefix) && name.find_first_not_of("0123456789-", prefix.size()) == end;
  });
}

Status RemoveTemporariesIn(const std::filesystem::path& folder, std::chrono::seconds unwritten_for) {
  const auto since = std::filesystem::file_time_type::clock::now() - unwritten_for;
  return RemoveTemporaries(folder, [&](const std::filesystem::path& temporary) {
    std::error_code gone;
    return unwritten_for == std::chrono::seconds(0) || std::filesystem::last_write_time(temporary, gone) < since;
  });
}

Status CreateFolders(const std::filesystem::path& folder) {
  std::error_code error;
  if (folder.empty() || folder == folder.root_path()) return {};
  if (!folder.has_filename()) return CreateFolders(folder.parent_path());
  if (std::filesystem::is_directory(folder, error)) return SyncNameOf(folder);
  // A folder's name is its parent's to keep.
  FERMENT_RETURN_IF_ERROR(CreateFolders(folder.parent_path()));
  (void)std::filesystem::create_directory(folder, error);
  const bool is_a_file = error == std::errc::file_exists;
  if (error) return WriteErrno(is_a_file ? ENOTDIR : error.value(), "cannot create the folder", folder);
  return SyncFolder(folder.parent_path());
}

Status SyncFolder(const std::filesystem::path& folder) {
  const std::filesystem::path opened = folder.empty() ? std::filesystem::path(".") : folder;
  const int handle = Uninterrupted([&] { return ::open(opened.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (handle < 0) return WriteErrno(errno, "cannot open the folder", opened);
  const bool synced = Uninterrupted([&] { return ::fsync(handle); }) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(handle);
  return synced ? Status() : WriteErrno(error, "cannot sync the folder", opened);
}

bool IsTemporaryName(std::string_view name) { return name.starts_with('.') && name.ends_with(kTemporarySuffix); }

}  // namespace ferment::io
