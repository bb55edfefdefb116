// SPDX-License-Identifier: Apache-2.0
#include "common/base/instruction_set.h"

namespace ferment {

std::string_view InstructionSetClass() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
#endif
  return "baseline";
}

}  // namespace ferment
