// SPDX-License-Identifier: Apache-2.0
//
// Writes RecordIO packs in InsightFace's layout: train.rec, train.idx, property (docs/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::dataset {

/// The 24 bytes before an image, and the labels after them.
struct ImageRecordHeader {
  /// One scalar label when this has one element and `as_list` is false; else flag = labels.size() and a list.
  std::vector<float> labels;
  bool as_list = true;
  std::uint64_t id = 0;
};

/// Appends records to `<stem>.rec` and lines to `<stem>.idx`. Payloads are split where the magic stands at a
/// 4-byte-aligned offset, as the format asks. Thread: one. After an error the files are not a pack.
class RecordioWriter {
 public:
  /// Creates or empties both files. Errors: those of creating a file.
  static Result<RecordioWriter> Create(const std::filesystem::path& stem);

  RecordioWriter(RecordioWriter&&) noexcept;
  RecordioWriter& operator=(RecordioWriter&&) noexcept;
  ~RecordioWriter();

  /// Errors: InvalidArgument past 2^29 - 1 bytes; ResourceExhausted (exit 204) when the disk is full.
  Status Write(std::uint64_t key, std::span<const std::byte> payload);
  Status WriteImage(std::uint64_t key, const ImageRecordHeader& header, std::span<const std::byte> image);
  /// Flushes and syncs both files; nothing may be written afterwards.
  Status Finish();

 private:
  struct Files;
  explicit RecordioWriter(std::unique_ptr<Files> files);
  std::unique_ptr<Files> files_;
};

}  // namespace ferment::dataset
