// SPDX-License-Identifier: Apache-2.0
#include "common/io/folder_claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/unique_name.h"
#include "common/io/atomic_file.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".writer-";

struct Claim {
  std::uint64_t number = 0;
  fs::path file;
};

Result<std::vector<Claim>> ClaimsIn(const fs::path& folder) {
  std::vector<Claim> claims;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    Claim claim{0, entry->path()};
    const auto [end, fault] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), claim.number);
    if (fault == std::errc() && *end == '-') claims.push_back(std::move(claim));
  }
  if (error) return Fail(WriteErrno(error.value(), "cannot list", folder));
  return claims;
}

Status Remove(const fs::path& file) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return WriteErrno(errno, "cannot remove", file);
  return {};
}

Status Taken(const fs::path& folder) {
  return AbortedError("another process writes this folder now; leave without writing: path=" + folder.string() +
                      "; where none does, remove its " + std::string(kPrefix) + "* and start again")
      .WithExitCode(exit_code::kFenced);
}

}  // namespace

Result<FolderClaim> FolderClaim::Take(const fs::path& folder, std::uint64_t number) {
  FERMENT_ASSIGN_OR_RETURN(const auto before, ClaimsIn(folder));
  if (number == 0) {
    for (const Claim& claim : before) number = std::max(number, claim.number);
  }
  FolderClaim own(folder / (std::string(kPrefix) + std::to_string(number) + "-" + NewUniqueName()));
  FERMENT_RETURN_IF_ERROR(WriteFileAtomically(own.file_, ""));
  // Looked at once the own one is there: of two that come at a time the lower one sees the higher.
  FERMENT_ASSIGN_OR_RETURN(const auto claims, ClaimsIn(folder));
  if (std::ranges::any_of(claims, [&](const Claim& claim) { return claim.number > number; })) {
    FERMENT_RETURN_IF_ERROR(Remove(own.file_));
    return Fail(Taken(folder));
  }
  for (const Claim& claim : claims) {
    if (claim.file != own.file_) FERMENT_RETURN_IF_ERROR(Remove(claim.file));
  }
  FERMENT_RETURN_IF_ERROR(own.Check());
  return own;
}

Status FolderClaim::Check() const {
  // Opened, as NFS asks its server then.
  const int handle = Uninterrupted([&] { return ::open(file_.c_str(), O_RDONLY | O_CLOEXEC); });
  if (handle < 0) return errno == ENOENT ? Taken(file_.parent_path()) : WriteErrno(errno, "cannot see", file_);
  ::close(handle);
  return {};
}

Status FolderClaim::UnlessTaken(Status failure) const {
  const Status taken = Check();
  return taken.code() == StatusCode::kAborted ? taken : failure;
}

Status RemoveClaims(const fs::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto claims, ClaimsIn(folder));
  for (const Claim& claim : claims) FERMENT_RETURN_IF_ERROR(Remove(claim.file));
  return {};
}

}  // namespace ferment::io
