// SPDX-License-Identifier: Apache-2.0
//
// Which class of CPU instructions inference will use: results are promised bit for bit only within one class.
#pragma once

#include <string_view>

namespace ferment {

/// Returns: the highest of "avx512", "avx2", "baseline" that this CPU and its kernel offer.
std::string_view InstructionSetClass();

/// What stands in the same places for networks that run on GPUs.
inline constexpr std::string_view kCudaClass = "cuda";

}  // namespace ferment
