// SPDX-License-Identifier: Apache-2.0
//
// What a check of `ferment doctor` came to.
#pragma once

#include <string>
#include <vector>

namespace ferment::cli {

struct Finding {
  std::string check;
  bool good = false;
  std::string found;
  /// What to do; shown where it is not good.
  std::string fix = {};
};

using Findings = std::vector<Finding>;

}  // namespace ferment::cli
