// SPDX-License-Identifier: Apache-2.0
//
// Finds environment variables that were meant for ferment and that no program of it reads.
#pragma once

#include <string>
#include <vector>

namespace ferment {

struct MistypedVariable {
  std::string name;
  std::string nearest;
};

/// `lines`: NAME=VALUE each. Returns: those that begin with FERMENT_, are none of ours, and are near enough to one of
/// ours to be meant for it. Others may be anybody's, such as what Kubernetes sets for a service of that name.
std::vector<MistypedVariable> FindMistypedVariables(const std::vector<std::string>& lines);

/// Logs a warning for each of this process's own, by name: a value may be a secret. Call once, early in main.
void WarnOfMistypedVariables();

}  // namespace ferment
