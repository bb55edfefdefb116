// SPDX-License-Identifier: Apache-2.0
//
// The files of a committed shard in a third of the memory: a book holds those of millions of shards for weeks.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "coordinator/core/job.h"

namespace ferment::coordinator {

/// A value. Folders are kept beside it, once for all shards of a job.
class PackedFiles {
 public:
  PackedFiles() = default;
  /// Appends a file's folder to `folders` where it is not there yet and there is room. Requires: names and digests
  /// without NUL.
  PackedFiles(std::span<const ResultFile> files, std::vector<std::string>& folders);

  /// `text`: of another's `text()`, which is what a store keeps of it.
  static PackedFiles FromText(std::string text);
  const std::string& text() const { return text_; }

  /// `folders`: what packing made of them, or more.
  std::vector<ResultFile> Unpack(std::span<const std::string> folders) const;
  friend bool operator==(const PackedFiles&, const PackedFiles&) = default;

 private:
  /// A file after the other: the folder's number in one byte, then name and sha256, each ended by NUL.
  std::string text_;
};

}  // namespace ferment::coordinator
