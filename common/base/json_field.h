// SPDX-License-Identifier: Apache-2.0
//
// Reads fields of JSON that another program wrote: a field that is absent or of another type is its fallback.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.h"

namespace ferment {

/// Returns: the member, or null JSON where `object` is no object or lacks it.
const Json& Field(const Json& object, std::string_view key);

double NumberOr(const Json& value, double fallback);
/// Of a whole number that is not negative.
std::uint64_t CountOr(const Json& value, std::uint64_t fallback);
std::string TextOr(const Json& value, std::string_view fallback);
bool BoolOr(const Json& value, bool fallback);
/// Returns: the numbers of an array; what is no number is 0; empty where `value` is no array.
std::vector<double> Numbers(const Json& value);

}  // namespace ferment
