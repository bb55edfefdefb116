// SPDX-License-Identifier: Apache-2.0
#include "common/base/unique_name.h"

#include <unistd.h>

#include <random>

namespace ferment {

std::string NewUniqueName() {
  std::random_device device;
  return std::to_string(getpid()) + "-" + std::to_string(device()) + std::to_string(device());
}

}  // namespace ferment
