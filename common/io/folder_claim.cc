// SPDX-License-Identifier: Apache-2.0
#include "common/io/folder_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
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
constexpr std::string_view kHalfSetAside = ".half-set-aside";

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

/// Returns: what names this kernel until the machine starts again; empty where that cannot be read.
std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

/// Returns: whether the claim's process ran under this kernel and has let go of the file's lock.
bool HasEnded(const fs::path& file) {
  const std::string boot_id = BootId();
  std::string written;
  std::ifstream(file) >> written;
  if (boot_id.empty() || written != boot_id) return false;
  const int handle = Uninterrupted([&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC); });
  if (handle < 0) return false;
  const bool free = ::flock(handle, LOCK_SH | LOCK_NB) == 0;
  ::close(handle);
  return free;
}

Status Remove(const fs::path& file) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return WriteErrno(errno, "cannot remove", file);
  return {};
}

/// Returns: names of all that lies in the folder, but for claims and for files that are not there yet.
Result<std::vector<std::string>> WorkIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix) && !IsTemporaryName(name)) names.push_back(name);
  }
  if (error) return Fail(WriteErrno(error.value(), "cannot list", folder));
  return names;
}

Result<std::vector<fs::path>> HalvesOf(const fs::path& folder) {
  std::vector<fs::path> halves;
  std::error_code error;
  fs::directory_iterator entry(folder.parent_path(), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(folder.filename().string() + ".") && name.ends_with(kHalfSetAside))
      halves.push_back(entry->path());
  }
  if (error) return Fail(WriteErrno(error.value(), "cannot list", folder.parent_path()));
  return halves;
}

/// Returns: the first free <folder>.old-<n>, which `half` is called now.
Result<fs::path> NameAside(const fs::path& half, const fs::path& folder) {
  std::error_code error;
  for (int n = 1;; ++n) {
    const fs::path aside = folder.string() + ".old-" + std::to_string(n);
    if (fs::exists(aside, error)) continue;
    if (::rename(half.c_str(), aside.c_str()) == 0) {
      FERMENT_RETURN_IF_ERROR(SyncFolder(folder.parent_path()));
      return aside;
    }
    if (errno != ENOTEMPTY && errno != EEXIST) return Fail(WriteErrno(errno, "cannot rename to", aside));
  }
}

Status Taken(const fs::path& folder) {
  return AbortedError("another process writes this folder now; leave without writing: path=" + folder.string() +
                      "; where none does, remove its " + std::string(kPrefix) + "* and start again")
      .WithExitCode(exit_code::kFenced);
}

}  // namespace

/// Held from construction to destruction, or to the end of the process.
class FolderClaim::Lock {
 public:
  /// Returns: null where the file system has no locks, or `file` is locked.
  static std::shared_ptr<const Lock> Take(const fs::path& file) {
    const int handle = Uninterrupted([&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC); });
    if (handle < 0) return nullptr;
    auto lock = std::make_shared<const Lock>(handle);
    return ::flock(handle, LOCK_EX | LOCK_NB) == 0 ? lock : nullptr;
  }
  explicit Lock(int handle) : handle_(handle) {}
  ~Lock() { ::close(handle_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  const int handle_;
};

Status FolderClaim::Appear() {
  FERMENT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(file_));
  // Before it has its name: nobody may find it there without its lock.
  lock_ = Lock::Take(file.temporary());
  if (lock_ != nullptr) FERMENT_RETURN_IF_ERROR(file.Append(BootId()));
  return file.Appear();
}

Result<FolderClaim> FolderClaim::Take(const fs::path& folder, std::uint64_t number) {
  FERMENT_ASSIGN_OR_RETURN(const auto before, ClaimsIn(folder));
  if (number == 0) {
    for (const Claim& claim : before) number = std::max(number, claim.number);
  }
  FolderClaim own(folder / (std::string(kPrefix) + std::to_string(number) + "-" + NewUniqueName()));
  const Status appeared = own.Appear();
  // Looked at once the own one is there: of two that come at a time the lower one sees the higher, which may have
  // removed what was to become the own one.
  FERMENT_ASSIGN_OR_RETURN(const auto claims, ClaimsIn(folder));
  if (std::ranges::any_of(claims, [&](const Claim& claim) { return claim.number > number; })) {
    FERMENT_RETURN_IF_ERROR(Remove(own.file_));
    return Fail(Taken(folder));
  }
  FERMENT_RETURN_IF_ERROR(appeared);
  for (const Claim& claim : claims) {
    if (claim.file != own.file_) FERMENT_RETURN_IF_ERROR(Remove(claim.file));
  }
  FERMENT_RETURN_IF_ERROR(own.Check());
  FERMENT_RETURN_IF_ERROR(own.EndOthersSettingAside());
  return own;
}

Status FolderClaim::Check() const {
  // Opened, as NFS asks its server then.
  const int handle = Uninterrupted([&] { return ::open(file_.c_str(), O_RDONLY | O_CLOEXEC); });
  if (handle < 0) return errno == ENOENT ? Taken(folder()) : WriteErrno(errno, "cannot see", file_);
  ::close(handle);
  return {};
}

Status FolderClaim::UnlessTaken(Status failure) const {
  const Status taken = Check();
  return taken.code() == StatusCode::kAborted ? taken : failure;
}

Status FolderClaim::EndOthersSettingAside() const {
  FERMENT_ASSIGN_OR_RETURN(const auto halves, HalvesOf(folder()));
  // Looked at behind the list: none of these is then a later process's.
  FERMENT_RETURN_IF_ERROR(Check());
  for (const fs::path& half : halves) {
    if (::rmdir(half.c_str()) == 0) continue;
    const auto named = NameAside(half, folder());
    std::error_code error;
    if (!named && fs::exists(half, error)) return UnlessTaken(named.error());
  }
  return {};
}

Result<fs::path> FolderClaim::SetAside(const std::string& first) const {
  FERMENT_ASSIGN_OR_RETURN(auto names, WorkIn(folder()));
  if (names.empty()) return fs::path();
  std::partition(names.begin(), names.end(), [&first](const std::string& name) { return name == first; });
  const fs::path half = folder().string() + "." + NewUniqueName() + std::string(kHalfSetAside);
  FERMENT_RETURN_IF_ERROR(CreateFolders(half));
  Status moved = MoveInto(half, names);
  if (!moved.ok()) {
    ::rmdir(half.c_str());
    return Fail(UnlessTaken(std::move(moved)));
  }
  auto aside = NameAside(half, folder());
  if (!aside) return Fail(UnlessTaken(aside.error()));
  return aside;
}

Status FolderClaim::MoveInto(const fs::path& aside, const std::vector<std::string>& names) const {
  const auto sync = [&]() -> Status {
    FERMENT_RETURN_IF_ERROR(SyncFolder(aside));
    return SyncFolder(folder());
  };
  // Looked at once `aside` is there: who takes the folder from now on finds it, and nothing more goes into it.
  FERMENT_RETURN_IF_ERROR(Check());
  for (const std::string& name : names) {
    if (::rename((folder() / name).c_str(), (aside / name).c_str()) != 0)
      return WriteErrno(errno, "cannot rename to", aside / name);
    if (name == names.front()) FERMENT_RETURN_IF_ERROR(sync());
  }
  return sync();
}

std::uint64_t EndedClaim(const fs::path& folder) {
  const auto claims = ClaimsIn(folder);
  if (!claims || claims->empty()) return 0;
  const std::uint64_t number = std::ranges::max_element(*claims, {}, &Claim::number)->number;
  const bool ended = std::ranges::all_of(
      *claims, [number](const Claim& claim) { return claim.number < number || HasEnded(claim.file); });
  return ended ? number : 0;
}

Status RemoveClaims(const fs::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto claims, ClaimsIn(folder));
  for (const Claim& claim : claims) FERMENT_RETURN_IF_ERROR(Remove(claim.file));
  return {};
}

}  // namespace ferment::io
