// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/image_record.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace ferment::dataset {
namespace {

constexpr std::uint64_t kHeaderBytes = 24;
constexpr std::uint64_t kIdOffset = 8;

}  // namespace

Result<ImageRecord> ParseImageRecord(std::span<const std::byte> payload) {
  const std::string bytes = "bytes=" + std::to_string(payload.size());
  if (payload.empty()) return Fail(DataLossError("record-empty: too short for the 24-byte header: " + bytes));
  if (payload.size() < kHeaderBytes) return Fail(DataLossError("record-too-short: for the 24-byte header: " + bytes));
  ImageRecord record;
  std::memcpy(&record.flag, payload.data(), sizeof(record.flag));
  std::memcpy(&record.id, payload.data() + kIdOffset, sizeof(record.id));
  const std::uint64_t labels_bytes = std::uint64_t{4} * record.flag;
  if (payload.size() - kHeaderBytes < labels_bytes)
    return Fail(DataLossError("record-too-short: for its labels: flag=" + std::to_string(record.flag) + " " + bytes));
  record.labels.resize(std::min<std::size_t>(record.flag, 2));
  if (!record.labels.empty())
    std::memcpy(record.labels.data(), payload.data() + kHeaderBytes, record.labels.size() * sizeof(float));
  record.image = payload.subspan(kHeaderBytes + labels_bytes);
  return record;
}

}  // namespace ferment::dataset
