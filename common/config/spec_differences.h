// SPDX-License-Identifier: Apache-2.0
//
// In which keys two specs differ: whether a folder that was begun with one is the folder of the other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment {

/// Returns: "key: old -> new" for each value in which they differ, in the order of the schema.
std::vector<std::string> SpecDifferences(const RunSpec& before, const RunSpec& after);

/// Returns: the differences from the spec in `file`, which SpecToYaml wrote, to this one; what one of them was made
/// without, before a version knew of it, is as its default. Errors: those of LoadResolvedSpec.
Result<std::vector<std::string>> DifferencesFromFile(const std::filesystem::path& file, const RunSpec& spec);

}  // namespace ferment
