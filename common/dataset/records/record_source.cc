// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/record_source.h"

namespace ferment::dataset {

std::optional<std::uint64_t> IndexOfKey(const RecordSource& source, std::uint64_t key) {
  std::uint64_t low = 0;
  std::uint64_t high = source.size();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (source.KeyAt(middle) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < source.size() && source.KeyAt(low) == key ? std::optional(low) : std::nullopt;
}

std::string DamageReason(const Status& status) {
  return std::string(status.message().substr(0, status.message().find_first_of(": ")));
}

}  // namespace ferment::dataset
