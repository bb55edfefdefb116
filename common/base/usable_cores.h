// SPDX-License-Identifier: Apache-2.0
//
// How many threads it is of use to keep busy.
#pragma once

#include <filesystem>

namespace ferment {

/// Cores that this process may use: those that it may run on (taskset, Slurm), and no more than its cgroups' CPU limits
/// come to (`docker run --cpus`, a pod's `limits.cpu`), rounded down, since threads that share a core too many wait for
/// each other. 1 or more. Looked up once in a process. Thread: any.
unsigned UsableCores();

/// Returns: the least of `cores` and the limits of the cgroups that `<root>/proc/self` names, of either version.
/// For tests: the machine's own root is "/".
unsigned CoresUnderLimits(const std::filesystem::path& root, unsigned cores);

}  // namespace ferment
