// SPDX-License-Identifier: Apache-2.0
//
// Who did what: one JSON object a line, each sealed with the digest of the one before, so that no line can be changed,
// dropped or moved unseen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

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
  /// Number of the last line.
  std::uint64_t lines = 0;
  /// Digest of the last line; keep it elsewhere, since whoever may write the file may cut its end off.
  std::string head;
  /// Number of the first line; past 1 only where the files before are gone.
  std::uint64_t first = 1;
};

/// Heads noted earlier; empty: none.
struct KnownHeads {
  /// Must be among the lines, or be `after`.
  std::string kept;
  /// What the files before, which are gone, ended with: the lines go on from there, and need not begin with line 1.
  std::string after;
};

/// Reads the whole of all `files`, oldest first, as one log. Errors: DataLoss with exit code 65, naming the file and
/// the line that was changed, replaced or moved, or before or behind which lines are missing.
Result<AuditSummary> VerifyAuditLog(const std::vector<std::filesystem::path>& files, const KnownHeads& known = {});

/// Appends to one file after the other, each at the same path; no second process may have it open.
///
/// Thread: any; guarded. Owns: the file's lock.
class AuditLog {
 public:
  /// Goes on where the file ends; what a crash left behind of lines that were not synced, half a line or zeros, is cut
  /// off, with a warning. Errors: Aborted with exit code 202 (another process has it), DataLoss with 78 (its last line
  /// was changed, or behind zeros there is more than a MiB), those of WriteErrno.
  static Result<std::unique_ptr<AuditLog>> Open(const std::filesystem::path& file, const Clock& clock);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  /// Once it returns, the line survives the death of the process; power cuts may take what was appended since the last
  /// sync, which comes with the first line after a second, before a MiB is exceeded, and with Sync. Errors: those of
  /// WriteErrno, and the same from then on; the file then ends with the line before, save where it was the sync that
  /// failed.
  Status Append(const AuditEntry& entry);
  /// Where the path does not name the open file any more, since somebody moved that away, the log goes on in a new one
  /// there, with `first` in it, so that whoever opens that file finds where to go on. What cannot be opened, or has
  /// something in it, is not taken: an error is logged, and the moved file goes on until the next call. Errors: as
  /// Append.
  Status Rotate(const AuditEntry& first);
  /// The last words of a process that ends well. Errors: as Append.
  Status Sync();
  AuditSummary summary() const;

 private:
  AuditLog(std::filesystem::path file, int handle, const Clock& clock)
      : file_(std::move(file)), clock_(clock), handle_(handle) {}
  Status GoOn();
  bool WasMoved() const FERMENT_REQUIRES(mutex_);
  Status BeginNext(const AuditEntry& first) FERMENT_REQUIRES(mutex_);
  Status AppendLine(const AuditEntry& entry) FERMENT_REQUIRES(mutex_);
  Status SyncLines() FERMENT_REQUIRES(mutex_);

  // Constant after construction.
  const std::filesystem::path file_;
  const Clock& clock_;
  // Under mutex_.
  mutable Mutex mutex_;
  int handle_ FERMENT_GUARDED_BY(mutex_);
  AuditSummary last_ FERMENT_GUARDED_BY(mutex_);
  Status failed_ FERMENT_GUARDED_BY(mutex_);
  MonotonicTime synced_ FERMENT_GUARDED_BY(mutex_);
  /// Bytes since then.
  std::uint64_t unsynced_ FERMENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace ferment::io
