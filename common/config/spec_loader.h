// SPDX-License-Identifier: Apache-2.0
//
// From what a person wrote (YAML file, --set, environment) to a complete RunSpec, or every fault of it at once.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment {

/// One --set KEY=VALUE; the key is dotted, and `data.fer.path` means the first source.
struct SpecOverride {
  std::string key;
  std::string value;
};

/// Where a value came from.
struct SpecOrigin {
  enum class Kind { kDefault, kFile, kEnvironment, kFlag };
  Kind kind = Kind::kDefault;
  /// The file's path as given, the variable's name, or "--set KEY=VALUE"; empty for a default.
  std::string source;
  /// From 1; 0 unless kind is kFile.
  int line = 0;
  int column = 0;

  /// Returns: "demo.yaml:3:9", "FERMENT_SEED", "--set seed=2" or "default".
  std::string ToString() const;
};

/// A spec that may be run: defaults filled in, paths absolute, name, threads and placement decided.
struct LoadedSpec {
  RunSpec spec;
  /// By dotted key, one entry a value that the spec holds; list entries after the first are "data.fer[1].path".
  std::map<std::string, SpecOrigin> origins;
  std::filesystem::path file;
};

/// Precedence: overrides, then the environment (FERMENT_SECTION_KEY), then the file, then defaults. A path on --set or
/// in the environment starts, for data.root, from the working folder. No data needs to exist yet. Errors:
/// InvalidArgument or NotFound, exit code 64, one line a fault: "file:line:column: key: what is wrong".
Result<LoadedSpec> LoadSpec(const std::filesystem::path& file, std::span<const SpecOverride> overrides = {});

/// Reads a spec that SpecToYaml wrote: the file alone, no environment, nothing decided anew. Errors: as LoadSpec.
Result<RunSpec> LoadResolvedSpec(const std::filesystem::path& file);

/// Returns: the complete spec, every value that it holds, such that LoadResolvedSpec reads an equal message.
std::string SpecToYaml(const RunSpec& spec);

/// Returns: the flags' values split at the first '='. Errors: InvalidArgument, exit code 64, for one without '='.
Result<std::vector<SpecOverride>> ParseOverrides(std::span<const std::string> flags);

}  // namespace ferment
