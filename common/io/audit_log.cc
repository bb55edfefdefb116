// SPDX-License-Identifier: Apache-2.0
#include "common/io/audit_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

#include "common/base/json.h"
#include "common/base/logging.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/errno_status.h"
#include "common/io/file_calls.h"

namespace ferment::io {
namespace {

constexpr std::string_view kSeal = ",\"hash\":\"";
constexpr std::size_t kDigest = 64;
constexpr std::chrono::seconds kSyncEvery{1};
/// Of lines that were not synced; one that is longer is alone.
constexpr std::uint64_t kMostUnsynced = 1 << 20;
const std::string kBeginning(kDigest, '0');

struct Line {
  std::uint64_t number = 0;
  std::string before;
  std::string hash;
};

/// Returns: nothing where the line is not one that was sealed, or was changed since.
std::optional<Line> Unseal(const std::string& text) {
  const std::size_t length = kSeal.size() + kDigest + 2;
  if (text.size() < length || text.compare(text.size() - length, kSeal.size(), kSeal) != 0) return std::nullopt;
  const std::string body = text.substr(0, text.size() - length) + "}";
  Line line;
  line.hash = text.substr(text.size() - kDigest - 2, kDigest);
  if (!text.ends_with("\"}") || Sha256Hex(body) != line.hash) return std::nullopt;
  const auto json = ParseJson(body);
  if (!json || !json->is_object()) return std::nullopt;
  const auto number = json->find("line");
  const auto before = json->find("before");
  if (number == json->end() || !number->is_number_unsigned()) return std::nullopt;
  if (before == json->end() || !before->is_string()) return std::nullopt;
  line.number = number->get<std::uint64_t>();
  if (line.number == 0) return std::nullopt;
  line.before = before->get<std::string>();
  return line;
}

std::string Sealed(const AuditEntry& entry, const AuditSummary& last, const std::string& time, std::string& hash) {
  const Json json = {{"line", last.lines + 1}, {"time", time},     {"who", entry.who},       {"role", entry.role},
                     {"method", entry.method}, {"run", entry.run}, {"result", entry.result}, {"before", last.head}};
  // Names come from certificates and requests: what is not UTF-8 is written as the replacement character.
  std::string body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  hash = Sha256Hex(body);
  body.pop_back();
  return body + std::string(kSeal) + hash + "\"}\n";
}

Status Broken(const std::filesystem::path& file, std::uint64_t at, const std::string& what) {
  return DataLossError("the audit log is not as it was written: file=" + file.string() + " line=" + std::to_string(at) +
                       ": " + what);
}

std::string Missing(std::uint64_t expected, std::uint64_t found) {
  if (found < expected) return "it is out of order, it was written as line " + std::to_string(found);
  const std::string first = std::to_string(expected);
  const std::string last = std::to_string(found - 1);
  return "before it the lines " + first + " to " + last + " are missing";
}

/// Follows the lines from file to file.
class AuditChain {
 public:
  explicit AuditChain(const KnownHeads& known)
      : known_(known),
        seen_(known.kept.empty() || known.kept == known.after),
        last_{0, known.after.empty() ? kBeginning : known.after} {}

  Status Follow(const std::filesystem::path& file) {
    std::ifstream in(file);
    if (!in) return ReadErrno(errno, "open", file);
    std::string text;
    while (std::getline(in, text)) {
      if (in.eof()) return Broken(file, last_.lines + 1, "it has no end");
      FERMENT_RETURN_IF_ERROR(Follow(file, text));
    }
    return in.bad() ? ReadErrno(EIO, "read", file) : Status();
  }
  bool seen() const { return seen_; }
  const AuditSummary& last() const { return last_; }

 private:
  Status Follow(const std::filesystem::path& file, const std::string& text) {
    const auto line = Unseal(text);
    if (!line) return Broken(file, last_.lines + 1, "it was changed");
    if (!begun_ && !known_.after.empty()) last_ = {line->number - 1, known_.after, line->number};
    const std::uint64_t at = last_.lines + 1;
    if (line->number != at) {
      return Broken(file, at, Missing(at, line->number) + (begun_ ? "" : WhereTheyMayBe(line->before)));
    }
    if (line->before != last_.head) {
      return Broken(file, at,
                    begun_ || known_.after.empty()
                        ? "it does not follow line " + std::to_string(at - 1) + ", which was replaced"
                        : "it does not go on behind head=" + known_.after + " but behind head=" + line->before);
    }
    begun_ = true;
    last_.lines = at;
    last_.head = line->hash;
    seen_ = seen_ || line->hash == known_.kept;
    return {};
  }
  static std::string WhereTheyMayBe(const std::string& before) {
    return "; name the file that has them before this one, or, where it is gone, the head that was kept of its end "
           "(--after), which then was head=" +
           before;
  }

  const KnownHeads& known_;
  bool begun_ = false;
  bool seen_;
  AuditSummary last_;
};

Status WasChanged(const std::filesystem::path& file) {
  return DataLossError(
             "the last lines of the audit log were changed; look at it with `ferment audit verify`, and name another "
             "file: file=" +
             file.string())
      .WithExitCode(exit_code::kUnreadableState);
}

/// Returns: the handle, with the lock. Errors: as AuditLog::Open.
Result<int> OpenAlone(const std::filesystem::path& file) {
  const int handle = Uninterrupted([&] { return open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600); });
  if (handle < 0) return Fail(WriteErrno(errno, "open", file));
  if (flock(handle, LOCK_EX | LOCK_NB) == 0) return handle;
  const int error = errno;
  close(handle);
  if (error != EWOULDBLOCK)
    return Fail(PermissionDeniedError("cannot lock the audit log: file=" + file.string() + " error=" + strerror(error) +
                                      "; name a file on a file system with locks")
                    .WithExitCode(exit_code::kCannotWrite));
  return Fail(
      AbortedError("another process writes this audit log: file=" + file.string()).WithExitCode(exit_code::kFenced));
}

Result<int> OpenEmpty(const std::filesystem::path& file) {
  FERMENT_ASSIGN_OR_RETURN(const int handle, OpenAlone(file));
  struct stat status {};
  if (fstat(handle, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0) return handle;
  close(handle);
  return Fail(FailedPreconditionError("what is there is not an empty file: file=" + file.string()));
}

}  // namespace

Result<AuditSummary> VerifyAuditLog(const std::vector<std::filesystem::path>& files, const KnownHeads& known) {
  AuditChain chain(known);
  for (const std::filesystem::path& file : files) FERMENT_RETURN_IF_ERROR(chain.Follow(file));
  if (chain.seen()) return chain.last();
  return Fail(Broken(
      files.back(), chain.last().lines,
      "behind it lines are missing, or it is another log: no line has the head that was kept, head=" + known.kept));
}

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const std::filesystem::path& file, const Clock& clock) {
  FERMENT_ASSIGN_OR_RETURN(const int handle, OpenAlone(file));
  std::unique_ptr<AuditLog> log(new AuditLog(file, handle, clock));
  FERMENT_RETURN_IF_ERROR(log->GoOn());
  return log;
}

Status AuditLog::GoOn() {
  const MutexLock lock(mutex_);
  synced_ = clock_.Now();
  last_ = {0, kBeginning};
  // By its handle: what was moved away meanwhile must not be measured by what is at its path now, and cut.
  std::ifstream in("/proc/self/fd/" + std::to_string(handle_));
  if (!in) return ReadErrno(errno, "open", file_);
  std::string text;
  std::string last;
  std::uint64_t whole = 0;
  // Zeros are what a power cut leaves in place of bytes that were not synced yet; no line has one.
  while (std::getline(in, text) && !in.eof() && text.find('\0') == std::string::npos) {
    whole += text.size() + 1;
    last.swap(text);
  }
  // What could not be read is not what a crash left behind.
  if (in.bad()) return ReadErrno(EIO, "read", file_);
  struct stat status {};
  if (fstat(handle_, &status) != 0) return WriteErrno(errno, "look at", file_);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size - whole - text.size() > kMostUnsynced) return WasChanged(file_);
  if (size > whole) {
    LogWarning("audit.torn",
               {{"file", file_.string()}, {"bytes", size - whole}, {"next", "cut off; it was never synced"}});
    if (ftruncate(handle_, static_cast<off_t>(whole)) != 0) return WriteErrno(errno, "cut", file_);
    // Else another power cut could mix it with the next line.
    FERMENT_RETURN_IF_ERROR(SyncLines());
  }
  // Who made the file may have been killed before its name was synced.
  FERMENT_RETURN_IF_ERROR(SyncFolder(file_.parent_path()));
  if (whole == 0) return {};
  const auto line = Unseal(last);
  if (!line) return WasChanged(file_);
  last_ = {line->number, line->hash};
  return {};
}

AuditLog::~AuditLog() { close(handle_); }

Status AuditLog::Append(const AuditEntry& entry) {
  const MutexLock lock(mutex_);
  if (failed_.ok()) failed_ = AppendLine(entry);
  return failed_;
}

Status AuditLog::Sync() {
  const MutexLock lock(mutex_);
  if (failed_.ok()) failed_ = SyncLines();
  return failed_;
}

Status AuditLog::Rotate(const AuditEntry& first) {
  const MutexLock lock(mutex_);
  if (failed_.ok() && WasMoved()) failed_ = BeginNext(first);
  return failed_;
}

bool AuditLog::WasMoved() const {
  struct stat named {};
  struct stat opened {};
  return stat(file_.c_str(), &named) != 0 || fstat(handle_, &opened) != 0 || named.st_dev != opened.st_dev ||
         named.st_ino != opened.st_ino;
}

Status AuditLog::BeginNext(const AuditEntry& first) {
  // No power cut may leave a line in the new file and take one before it.
  FERMENT_RETURN_IF_ERROR(SyncLines());
  const auto next = OpenEmpty(file_);
  if (!next) {
    LogError("audit.not_rotated", {{"file", file_.string()},
                                   {"error", next.error().message()},
                                   {"next", "lines go on into the file that was moved away; HUP tries again"}});
    return {};
  }
  LogInfo("audit.rotated", {{"file", file_.string()}, {"lines", last_.lines}, {"head", last_.head}});
  close(handle_);
  handle_ = *next;
  FERMENT_RETURN_IF_ERROR(AppendLine(first));
  FERMENT_RETURN_IF_ERROR(SyncLines());
  return SyncFolder(file_.parent_path());
}

Status AuditLog::AppendLine(const AuditEntry& entry) {
  std::string hash;
  const std::string text = Sealed(entry, last_, FormatUtc(clock_.WallNow()), hash);
  if (unsynced_ + text.size() > kMostUnsynced) FERMENT_RETURN_IF_ERROR(SyncLines());
  struct stat before {};
  if (fstat(handle_, &before) != 0) return WriteErrno(errno, "look at", file_);
  if (Status written = WriteAll(handle_, std::as_bytes(std::span(text)), "append to", file_); !written.ok()) {
    if (ftruncate(handle_, before.st_size) != 0) LogError("audit.torn", {{"file", file_.string()}});
    return written;
  }
  last_ = {last_.lines + 1, hash};
  unsynced_ += text.size();
  if (clock_.Now() - synced_ < kSyncEvery) return {};
  return SyncLines();
}

Status AuditLog::SyncLines() {
  synced_ = clock_.Now();
  unsynced_ = 0;
  const int synced = Uninterrupted([handle = handle_] { return fdatasync(handle); });
  return synced == 0 ? Status() : WriteErrno(errno, "sync", file_);
}

AuditSummary AuditLog::summary() const {
  const MutexLock lock(mutex_);
  return last_;
}

}  // namespace ferment::io
