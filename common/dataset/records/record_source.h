// SPDX-License-Identifier: Apache-2.0
//
// The port through which unlabelled faces are read, whatever they are stored in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::dataset {

/// One encoded picture. Either a view into the source, which must outlive it, or the owner of its bytes; move only.
struct EncodedRecord {
  EncodedRecord(std::uint64_t record_key, std::span<const std::byte> bytes) : key(record_key), image(bytes) {}
  EncodedRecord(std::uint64_t record_key, std::vector<std::byte> bytes)
      : key(record_key), image(bytes), owned_(std::move(bytes)) {}
  EncodedRecord(EncodedRecord&&) noexcept = default;
  EncodedRecord& operator=(EncodedRecord&&) noexcept = default;
  EncodedRecord(const EncodedRecord&) = delete;
  EncodedRecord& operator=(const EncodedRecord&) = delete;

  std::uint64_t key;
  std::span<const std::byte> image;

 private:
  std::vector<std::byte> owned_;
};

/// Thread: any, all methods.
class RecordSource {
 public:
  virtual ~RecordSource() = default;

  /// Returns: number of records, damaged ones included.
  virtual std::uint64_t size() const = 0;
  /// Returns: the record's key; keys rise with the index. Requires: index < size().
  virtual std::uint64_t KeyAt(std::uint64_t index) const = 0;
  /// Returns: the record's picture, not yet decoded. Requires: index < size(). Errors: DataLoss whose message starts
  /// with the reason, one word such as bad-magic, then key, place and numbers; it is for good, and no reason to stop.
  /// Any other code concerns the source as a whole.
  virtual Result<EncodedRecord> Read(std::uint64_t index) const = 0;
};

/// Returns: the index of the record with this key, if there is one.
std::optional<std::uint64_t> IndexOfKey(const RecordSource& source, std::uint64_t key);

/// Returns: the first word of a DataLoss of RecordSource::Read or DecodePicture, such as "bad-magic": the reason to
/// count it under.
std::string DamageReason(const Status& status);

}  // namespace ferment::dataset
