// SPDX-License-Identifier: Apache-2.0
//
// IEEE binary16 <-> binary32, as numpy's float16 converts.
#pragma once

#include <cstdint>

namespace ferment::io {

/// Returns: the nearest half, ties to even; past 65504 by half a step or more: infinity; NaN stays NaN.
std::uint16_t HalfFromFloat(float value);

/// Returns: the same number; exact.
float FloatFromHalf(std::uint16_t half);

}  // namespace ferment::io
