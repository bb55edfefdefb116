// SPDX-License-Identifier: Apache-2.0
#include "common/io/audit_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

}  // namespace

Result<AuditSummary> VerifyAuditLog(const std::filesystem::path& file, const std::string& kept) {
  std::ifstream in(file);
  if (!in) return Fail(ReadErrno(errno, "open", file));
  AuditSummary summary{0, kBeginning};
  bool seen = kept.empty();
  std::string text;
  while (std::getline(in, text)) {
    const std::uint64_t at = summary.lines + 1;
    if (in.eof()) return Fail(Broken(file, at, "it has no end"));
    const auto line = Unseal(text);
    if (!line) return Fail(Broken(file, at, "it was changed"));
    if (line->number != at) return Fail(Broken(file, at, Missing(at, line->number)));
    if (line->before != summary.head) {
      return Fail(Broken(file, at, "it does not follow line " + std::to_string(at - 1) + ", which was replaced"));
    }
    summary = {at, line->hash};
    seen = seen || line->hash == kept;
  }
  if (in.bad()) return Fail(ReadErrno(EIO, "read", file));
  if (!seen)
    return Fail(Broken(file, summary.lines,
                       "behind it lines are missing, or it is another log: no line has the "
                       "head that was kept, head=" +
                           kept));
  return summary;
}

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const std::filesystem::path& file, const Clock& clock) {
  const int handle = Uninterrupted([&] { return open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600); });
  if (handle < 0) return Fail(WriteErrno(errno, "open", file));
  std::unique_ptr<AuditLog> log(new AuditLog(file, handle, clock));
  if (flock(handle, LOCK_EX | LOCK_NB) != 0) {
    return Fail(
        AbortedError("another process writes this audit log: file=" + file.string()).WithExitCode(exit_code::kFenced));
  }
  FERMENT_RETURN_IF_ERROR(log->GoOn());
  return log;
}

Status AuditLog::GoOn() {
  const MutexLock lock(mutex_);
  synced_ = clock_.Now();
  last_ = {0, kBeginning};
  std::ifstream in(file_);
  if (!in) return ReadErrno(errno, "open", file_);
  std::string text;
  std::string last;
  std::uint64_t whole = 0;
  while (std::getline(in, text) && !in.eof()) {
    whole += text.size() + 1;
    last.swap(text);
  }
  // What could not be read is not what a crash left behind.
  if (in.bad()) return ReadErrno(EIO, "read", file_);
  struct stat status {};
  if (fstat(handle_, &status) != 0) return WriteErrno(errno, "look at", file_);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > whole) {
    LogWarning("audit.torn",
               {{"file", file_.string()}, {"bytes", size - whole}, {"next", "cut off; it was never whole"}});
    if (ftruncate(handle_, static_cast<off_t>(whole)) != 0) return WriteErrno(errno, "cut", file_);
  }
  if (whole == 0) return SyncFolder(file_.parent_path());
  const auto line = Unseal(last);
  if (!line) {
    return DataLossError(
               "the last line of the audit log was changed; look at it with `ferment audit verify`, and name "
               "another file: file=" +
               file_.string())
        .WithExitCode(exit_code::kUnreadableState);
  }
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

Status AuditLog::AppendLine(const AuditEntry& entry) {
  std::string hash;
  const std::string text = Sealed(entry, last_, FormatUtc(clock_.WallNow()), hash);
  struct stat before {};
  if (fstat(handle_, &before) != 0) return WriteErrno(errno, "look at", file_);
  if (Status written = WriteAll(handle_, std::as_bytes(std::span(text)), "append to", file_); !written.ok()) {
    if (ftruncate(handle_, before.st_size) != 0) LogError("audit.torn", {{"file", file_.string()}});
    return written;
  }
  last_ = {last_.lines + 1, hash};
  if (clock_.Now() - synced_ < kSyncEvery) return {};
  return SyncLines();
}

Status AuditLog::SyncLines() {
  synced_ = clock_.Now();
  const int synced = Uninterrupted([&] { return fdatasync(handle_); });
  return synced == 0 ? Status() : WriteErrno(errno, "sync", file_);
}

AuditSummary AuditLog::summary() const {
  const MutexLock lock(mutex_);
  return last_;
}

}  // namespace ferment::io
