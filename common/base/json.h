// SPDX-License-Identifier: Apache-2.0
//
// The door of the JSON library: everything else says ferment::Json.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "common/base/result.h"

namespace ferment {

/// Keys keep the order in which they were written, so that equal content is equal bytes.
using Json = nlohmann::ordered_json;
/// For objects of many keys: finds one in a tree, where Json looks through all.
using SortedJson = nlohmann::json;

/// Returns: DataLoss with what is wrong with a text that is not JSON, and where: line, column and byte, from 1.
Status WrongJson(std::string_view text);

/// Returns: the parsed value. Errors: those of WrongJson.
template <typename Value = Json>
Result<Value> ParseJson(std::string_view text) {
  // The library takes a NUL for the end, whatever comes after it; a power cut leaves such.
  if (text.find('\0') != std::string_view::npos) return Fail(WrongJson(text));
  Value value = Value::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Fail(WrongJson(text));
  return value;
}

}  // namespace ferment
