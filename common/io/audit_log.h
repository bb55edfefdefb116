// SPDX-License-Identifier: Apache-2.0
//
// Who did what: one JSON object a line, each sealed with the digest of the one before, so that no line can be changed,
// dropped or moved unseen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"

namespace ferment::io {

struct AuditEntry {
  std::string who;
  std::string role;
  std::string method;
  std::string run;
  std::string result;
};

struct AuditSummary {
  std::uint64_t lines = 0;
  /// Digest of the last line; keep it elsewhere, since whoever may write the file may cut its end off.
  std::string head;
};

/// Reads the whole file. `kept` may be a head noted earlier, which must then be among its lines. Errors: DataLoss with
/// exit code 65, naming the line that was changed, replaced or moved, or behind which lines are missing.
Result<AuditSummary> VerifyAuditLog(const std::filesystem::path& file, const std::string& kept = "");

/// Appends to one file, which no second process may have open.
///
/// Thread: any; guarded. Owns: the file's lock.
class AuditLog {
 public:
  /// Goes on where the file ends; the half of a line that a crash left behind is cut off, with a warning. Errors:
  /// Aborted with exit code 202 (another process has it), DataLoss with 78 (its last line was changed), those of
  /// WriteErrno.
  static Result<std::unique_ptr<AuditLog>> Open(const std::filesystem::path& file, const Clock& clock);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  /// Once it returns, the line survives the death of the process; power cuts may take what was appended since the last
  /// sync, which comes with the first line after a second, and with Sync. Errors: those of WriteErrno, and the same
  /// from then on; the file then ends with the line before, save where it was the sync that failed.
  Status Append(const AuditEntry& entry);
  /// The last words of a process that ends well. Errors: as Append.
  Status Sync();
  AuditSummary summary() const;

 private:
  AuditLog(std::filesystem::path file, int handle, const Clock& clock)
      : file_(std::move(file)), handle_(handle), clock_(clock) {}
  Status GoOn();
  Status AppendLine(const AuditEntry& entry) FERMENT_REQUIRES(mutex_);
  Status SyncLines() FERMENT_REQUIRES(mutex_);

  // Constant after construction.
  const std::filesystem::path file_;
  const int handle_;
  const Clock& clock_;
  // Under mutex_.
  mutable Mutex mutex_;
  AuditSummary last_ FERMENT_GUARDED_BY(mutex_);
  Status failed_ FERMENT_GUARDED_BY(mutex_);
  MonotonicTime synced_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::io
