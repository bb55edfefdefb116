// SPDX-License-Identifier: Apache-2.0
//
// The door of the JSON library: everything else says ferment::Json.
#pragma once

#include <nlohmann/json.hpp>

#include "common/base/result.h"

namespace ferment {

/// Keys keep the order in which they were written, so that equal content is equal bytes.
using Json = nlohmann::ordered_json;
/// For objects of many keys: finds one in a tree, where Json looks through all.
using SortedJson = nlohmann::json;

/// Returns: the parsed value. Errors: DataLoss with the byte offset, where the text is not JSON.
template <typename Value = Json>
Result<Value> ParseJson(std::string_view text) {
  Value value = Value::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Fail(DataLossError("not valid JSON: bytes=" + std::to_string(text.size())));
  return value;
}

}  // namespace ferment
