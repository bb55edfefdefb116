// SPDX-License-Identifier: Apache-2.0
#include "common/io/secret_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "common/base/result.h"
#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

Status WriteSynced(int handle, std::string_view text, const fs::path& file) {
  FERMENT_RETURN_IF_ERROR(WriteAll(handle, std::as_bytes(std::span(text)), "write", file));
  return fsync(handle) == 0 ? Status() : WriteErrno(errno, "sync", file);
}

/// gRPC's watcher knows by whole seconds whether a key and its certificate were renewed between its two reads.
Status SetApart(const fs::path& made, const fs::path& former) {
  struct stat was {};
  struct stat is {};
  if (stat(former.c_str(), &was) != 0 || stat(made.c_str(), &is) != 0 || is.st_mtim.tv_sec > was.st_mtim.tv_sec)
    return {};
  const timespec times[2] = {{0, UTIME_OMIT}, {was.st_mtim.tv_sec + 1, 0}};
  return utimensat(AT_FDCWD, made.c_str(), times, 0) == 0 ? Status() : WriteErrno(errno, "date", made);
}

Status MoveIntoPlace(const fs::path& made, const fs::path& folder) {
  if (rename(made.c_str(), folder.c_str()) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return WriteErrno(errno, "rename", folder);
  fs::path former = made;
  if (renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) return WriteErrno(errno, "exchange", folder);
    // NFS, for one, exchanges nothing. Readers look again at what is not there for a moment.
    former += ".former";
    if (rename(folder.c_str(), former.c_str()) != 0) return WriteErrno(errno, "rename", folder);
    if (rename(made.c_str(), folder.c_str()) != 0) {
      const Status failure = WriteErrno(errno, "rename", folder);
      (void)rename(former.c_str(), folder.c_str());
      return failure;
    }
  }
  std::error_code ignored;
  fs::remove_all(former, ignored);
  return {};
}

}  // namespace

Status WriteSecretFile(const fs::path& file, std::string_view text) {
  const int handle = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (handle < 0 && errno == EEXIST) {
    return AlreadyExistsError("this file is there already: file=" + file.string())
        .WithExitCode(exit_code::kCannotWrite);
  }
  if (handle < 0) return WriteErrno(errno, "create", file);
  const Status written = WriteSynced(handle, text, file);
  close(handle);
  return written;
}

Status ReplaceSecretFolder(const fs::path& folder, const std::map<std::string, std::string>& files) {
  fs::path made = folder;
  made += ".new-" + std::to_string(getpid());
  std::error_code ignored;
  fs::remove_all(made, ignored);
  if (mkdir(made.c_str(), 0700) != 0) return WriteErrno(errno, "create", made);
  for (const auto& [name, text] : files) {
    FERMENT_RETURN_IF_ERROR(WriteSecretFile(made / name, text));
    FERMENT_RETURN_IF_ERROR(SetApart(made / name, folder / name));
  }
  FERMENT_RETURN_IF_ERROR(SyncFolder(made));
  FERMENT_RETURN_IF_ERROR(MoveIntoPlace(made, folder));
  return SyncFolder(folder.parent_path().empty() ? "." : folder.parent_path());
}

}  // namespace ferment::io
