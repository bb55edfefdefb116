// SPDX-License-Identifier: Apache-2.0
#include "common/io/errno_status.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace ferment::io {
namespace {

std::string Describe(int error, std::string_view what, const std::filesystem::path& path) {
  return std::string(what) + ": path=" + path.string() + ": " + std::generic_category().message(error);
}

}  // namespace

Status ReadErrno(int error, std::string_view what, const std::filesystem::path& path) {
  const std::string message = Describe(error, what, path);
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(message);
  if (error == EACCES || error == EPERM) return PermissionDeniedError(message);
  return UnavailableError(message).WithExitCode(exit_code::kBadData);
}

Status WriteErrno(int error, std::string_view what, const std::filesystem::path& path) {
  const std::string message = Describe(error, what, path);
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return PermissionDeniedError(message).WithExitCode(exit_code::kCannotWrite);
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    // A name that no disk can have, or that of something else.
    case EEXIST:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
      return NotFoundError(message).WithExitCode(exit_code::kCannotWrite);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ResourceExhaustedError(message + "; free some space and run again")
          .WithExitCode(exit_code::kStorageFailed);
    default:
      return UnavailableError(message).WithExitCode(exit_code::kStorageFailed);
  }
}

Status WithoutPath(const Status& failure, const std::filesystem::path& path) {
  std::string message(failure.message());
  const std::string named = path.string();
  const std::size_t at = named.empty() ? std::string::npos : message.find(named);
  if (at == std::string::npos) return failure;
  message.replace(at, named.size(), "(not told)");
  const Status untold(failure.code(), std::move(message));
  return failure.exit_code() == 0 ? untold : untold.WithExitCode(failure.exit_code());
}

}  // namespace ferment::io
