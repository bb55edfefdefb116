// SPDX-License-Identifier: Apache-2.0
//
// What MXNet puts before a picture in a record: 24 bytes of header, then labels (docs/formats.md has the layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace ferment::dataset {

/// Also the header record and the identity records of an InsightFace pack: two labels and no picture.
struct ImageRecord {
  /// Number of labels after the header; 0: one label inside it.
  std::uint32_t flag = 0;
  /// The key, where the pack's writer put it there.
  std::uint64_t id = 0;
  /// The first two of the labels after the header.
  std::vector<float> labels;
  /// Into the payload; the encoded picture.
  std::span<const std::byte> image;

  bool IsRange() const { return flag == 2 && image.empty(); }
};

/// Errors: DataLoss that starts with record-empty or record-too-short (for the header, or for its labels).
Result<ImageRecord> ParseImageRecord(std::span<const std::byte> payload);

}  // namespace ferment::dataset
