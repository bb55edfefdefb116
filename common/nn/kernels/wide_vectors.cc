// SPDX-License-Identifier: Apache-2.0
#include "common/nn/kernels/wide_vectors.h"

namespace ferment::nn {

bool HasVectors(Vectors vectors) {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  static const bool avx512 = avx2 && __builtin_cpu_supports("avx512f");
  return vectors == Vectors::kAvx2 ? avx2 : avx512;
#else
  static_cast<void>(vectors);
  return false;
#endif
}

Vectors WidestVectors() { return HasVectors(Vectors::kAvx512) ? Vectors::kAvx512 : Vectors::kAvx2; }

}  // namespace ferment::nn
