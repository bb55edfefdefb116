// SPDX-License-Identifier: Apache-2.0
//
// The JSON header of a safetensors file, with every rule of the format checked before a byte of data is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  /// Bytes [begin, end) after the header.
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  /// In the header's order.
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Returns: bytes of one element of a safetensors dtype such as "F32"; 0 for an unknown one.
std::uint64_t SafetensorsElementBytes(std::string_view dtype);

/// Returns: the header, whose entries tile [0, data_bytes) exactly. Errors: DataLoss with the entry's name.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json, std::uint64_t data_bytes);

}  // namespace ferment::io
