// SPDX-License-Identifier: Apache-2.0
//
// Finds what a newer version wrote into a message, which Protobuf would leave out in silence.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace ferment {

/// Returns: the first field that this version does not know, by its place, as "spec.cotrain.#37"; empty where it knows
/// all. Not seen: new values of enums, which are for the messages to have none of, and fields of a map's entries, which
/// Protobuf drops.
std::string FieldOfANewerVersion(const google::protobuf::Message& message);

}  // namespace ferment
