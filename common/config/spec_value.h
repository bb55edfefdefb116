// SPDX-License-Identifier: Apache-2.0
//
// One value of the spec between its text and its field: parsed against the field's rule, and written back.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/config/spec_schema.h"

namespace ferment {

/// Sets the field, or adds to it where it is a list of values. `quoted` says that the text stood in quotes, so it is no
/// number. Errors: InvalidArgument; the message names value, range or choices, and the nearest choice, but neither key
/// nor place.
Status SetValue(google::protobuf::Message& message, const SpecField& field, std::string_view text, bool quoted);

/// Returns: the value (of a list: its entry) as YAML that reads back to the same. Requires: field is not a message.
std::string ValueToYaml(const google::protobuf::Message& message, const SpecField& field, int entry = 0);

/// Returns: the shortest text that reads back to the same number, whole numbers without exponent.
std::string NumberText(double value);
/// Returns: the value as an error shows it: in quotes, shortened, control characters escaped.
std::string ShowText(std::string_view text);
/// Returns: whether the bytes are well-formed UTF-8.
bool IsUtf8(std::string_view text);
/// Returns: whether a path is a place in an object store (s3://BUCKET/PREFIX), which is resolved against no folder.
bool IsObjectPlace(std::string_view path);

}  // namespace ferment
