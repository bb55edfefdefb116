// SPDX-License-Identifier: Apache-2.0
//
// Which class of CPU instructions inference will use: results are promised bit for bit only within one class.
#pragma once

#include <array>
#include <string_view>

namespace ferment {

/// Returns: the highest of "avx512", "avx2", "baseline" that this CPU and its kernel offer.
std::string_view InstructionSetClass();

/// What stands in the same places for networks that run on GPUs.
inline constexpr std::string_view kCudaClass = "cuda";

/// All that stands in these places.
inline constexpr std::array<std::string_view, 4> kArithmeticClasses = {"avx512", "avx2", "baseline", kCudaClass};

}  // namespace ferment
