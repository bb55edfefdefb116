// SPDX-License-Identifier: Apache-2.0
//
// The door of the JSON library: everything else says ferment::Json.
#pragma once

#include <nlohmann/json.hpp>

#include "common/base/result.h"

namespace ferment {

/// Keys keep the order in which they were written, so that equal content is equal bytes.
using Json = nlohmann::ordered_json;

/// Returns: the parsed value. Errors: DataLoss with the byte offset, where the text is not JSON.
inline Result<Json> ParseJson(std::string_view text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Fail(DataLossError("not valid JSON: bytes=" + std::to_string(text.size())));
  return value;
}

}  // namespace ferment
