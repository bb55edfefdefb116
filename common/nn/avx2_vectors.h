// SPDX-License-Identifier: Apache-2.0
//
// Eight floats at a time, for functions that are compiled for AVX2 whatever the file's other functions are compiled
// for. Call such a function only where the processor has it (common/base/instruction_set.h).
#pragma once

#if defined(__x86_64__)
#define FERMENT_AVX2 __attribute__((target("avx2,fma")))
#else
#define FERMENT_AVX2
#endif

namespace ferment::nn {

using Vector = float __attribute__((vector_size(32)));
/// Wherever a float may lie.
using LooseVector = float __attribute__((vector_size(32), aligned(4)));

}  // namespace ferment::nn
