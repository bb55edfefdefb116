// SPDX-License-Identifier: Apache-2.0
//
// Tells people what a spec says: each value with where it came from, and the reference of all keys.
#pragma once

#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/config/spec_loader.h"

namespace ferment {

/// One key of a loaded spec.
struct ExplainedValue {
  std::string key;
  /// Null where the spec has no such value.
  Json value;
  SpecOrigin origin;
  std::string allowed;
  std::string about;
};

/// Returns: every key of the schema in its order; each entry of data.fer has its own, absent sections are there with
/// null.
std::vector<ExplainedValue> ExplainSpec(const LoadedSpec& loaded);

/// Returns: the same in aligned columns, a line a key.
std::string ExplainAsTable(const LoadedSpec& loaded);
/// Returns: {"spec", "values": [{"key", "value", "from", "allowed", "meaning"}]}.
Json ExplainAsJson(const LoadedSpec& loaded);

/// Returns: docs/spec.md, all of it.
std::string SpecReference();

}  // namespace ferment
