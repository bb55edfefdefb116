// SPDX-License-Identifier: Apache-2.0
//
// Files that appear whole or not at all, and that are still there after a power cut.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "common/base/result.h"

namespace ferment::io {

/// A file in the making: bytes go into a temporary file beside `path`, which Appear syncs and renames. What did not
/// appear is removed with the object.
///
/// A device, a pipe or a socket at `path` is refused (73). After a failure nothing but destruction is left to do: a
/// sync that failed once says nothing when it is asked again. Thread: one at a time. Errors: as WriteFileAtomically.
class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  Status Append(std::span<const std::byte> bytes);
  Status Append(std::string_view text);
  /// Has the disk take what there is so far, so that a large file does not hold up other people's syncs at its end.
  Status SyncSoFar();
  /// `may_appear` is asked before the rename; where it fails, the file stays as it was.
  Status Appear(const std::function<Status()>& may_appear = nullptr);

  const std::filesystem::path& temporary() const { return temporary_; }

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int handle)
      : path_(std::move(path)), temporary_(std::move(temporary)), handle_(handle) {}
  void Abandon();
  Status Close();

  std::filesystem::path path_;
  /// Empty: renamed, or moved to another object.
  std::filesystem::path temporary_;
  int handle_;
};

/// Writes a temporary file beside `path`, syncs it, renames it where `may_appear` lets it, syncs the folder; the
/// temporary file is gone after a failure. Thread: any; the last of two writers wins. Errors: those of `may_appear`;
/// those of io::WriteErrno (73 for no permission or no parent folder, 204 for no space or a failed sync).
Status WriteFileAtomically(const std::filesystem::path& path, std::span<const std::byte> bytes,
                           const std::function<Status()>& may_appear = nullptr);
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view text,
                           const std::function<Status()>& may_appear = nullptr);
/// How a function that makes a file has it written.
using WriteText = std::function<Status(const std::filesystem::path&, std::string_view)>;

/// Removes what other writers of `path`, or of any file in `folder`, have not renamed yet, so that they fail; a missing
/// folder has none. `unwritten_for`: what was written to since then stays. Errors: those of io::WriteErrno.
Status RemoveTemporariesOf(const std::filesystem::path& path);
Status RemoveTemporariesIn(const std::filesystem::path& folder, std::chrono::seconds unwritten_for = {});

/// Creates the folder and its missing parents; they are there after a power cut, whoever made them. Errors: those of
/// io::WriteErrno.
Status CreateFolders(const std::filesystem::path& folder);

/// Makes renames in the folder durable. Errors: those of io::WriteErrno.
Status SyncFolder(const std::filesystem::path& folder);

/// Returns: whether a writer that was killed may have left this name behind.
bool IsTemporaryName(std::string_view name);

}  // namespace ferment::io
