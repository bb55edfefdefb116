// SPDX-License-Identifier: Apache-2.0
#include <limits>

/// Ends with 0 unless UBSan ends it.
int main(int argc, char**) {
  const int sum = std::numeric_limits<int>::max() + argc;
  return sum == 0 ? 1 : 0;
}
