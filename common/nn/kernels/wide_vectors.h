// SPDX-License-Identifier: Apache-2.0
//
// Eight or sixteen floats at a time, for functions that are compiled for AVX2 or AVX-512 whatever the file's other
// functions are compiled for. Call such a function only where the processor has it.
#pragma once

#if defined(__x86_64__)
#define FERMENT_AVX2 __attribute__((target("avx2,fma")))
#define FERMENT_AVX512 __attribute__((target("avx2,fma,avx512f")))
#else
#define FERMENT_AVX2
#define FERMENT_AVX512
#endif

namespace ferment::nn {

using Vector = float __attribute__((vector_size(32)));
/// Wherever a float may lie.
using LooseVector = float __attribute__((vector_size(32), aligned(4)));
/// For AVX-512.
using LongVector = float __attribute__((vector_size(64)));
using LooseLongVector = float __attribute__((vector_size(64), aligned(4)));

/// What loops are written for, with FMA. Where both are there they give the same bits.
enum class Vectors { kAvx2, kAvx512 };

/// Returns: whether this processor has them.
bool HasVectors(Vectors vectors);
/// Returns: kAvx2 also where the processor has neither.
Vectors WidestVectors();

}  // namespace ferment::nn
