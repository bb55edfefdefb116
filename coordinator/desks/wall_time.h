// SPDX-License-Identifier: Apache-2.0
//
// Wall time as events and answers carry it.
#pragma once

#include <chrono>
#include <cstdint>

#include "common/base/clock.h"

namespace ferment::coordinator {

/// Returns: milliseconds since 1970.
inline std::int64_t WallMs(const Clock& clock) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock.WallNow().time_since_epoch()).count();
}

}  // namespace ferment::coordinator
