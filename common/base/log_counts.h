// SPDX-License-Identifier: Apache-2.0
//
// How many lines this process has logged, by level.
#pragma once

#include <cstdint>

#include "common/base/logging.h"

namespace ferment {

/// Returns: lines of exactly this level that went out since the process began; those that were dropped, as below the
/// level of LoggingOptions, are not among them. Thread: any.
std::uint64_t CountLogged(LogLevel level);

}  // namespace ferment
