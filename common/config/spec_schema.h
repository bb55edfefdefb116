// SPDX-License-Identifier: Apache-2.0
//
// The schema as the loader and the docs see it: keys, rules and allowed values, all read from RunSpec's descriptor.
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/run_spec.h"

namespace ferment {

using SpecField = google::protobuf::FieldDescriptor;
using SpecMessage = google::protobuf::Descriptor;

/// Returns: the field's rule, empty where it has none.
const v1::FieldRule& RuleOf(const SpecField& field);
/// Returns: the field's key in YAML.
std::string_view KeyOf(const SpecField& field);
/// Returns: the field with this key, or null.
const SpecField* FindField(const SpecMessage& message, std::string_view key);
/// Returns: "prefix.key", or the key alone where the prefix is empty.
std::string JoinKey(std::string_view prefix, std::string_view key);
/// Returns: the key of a list's entry: the list's own for the first, then "key[1]".
std::string EntryKey(const std::string& key, std::size_t entry);

/// Whether the field is one message, a list of messages, or else a value.
bool IsSection(const SpecField& field);
bool IsSectionList(const SpecField& field);

/// Returns: what the field may hold, such as "0 to 100", "fp32 | bf16", "true or false", "text".
std::string AllowedText(const SpecField& field);
/// Returns: the environment variable of a dotted key, such as FERMENT_TEACHER_LR.
std::string EnvironmentName(std::string_view dotted_key);

/// Returns: how many single-character edits (insert, delete, replace, swap of neighbours) turn one into the other.
std::size_t EditDistance(std::string_view a, std::string_view b);
/// Returns: the nearest candidate, empty where none is near enough to be what was meant.
std::string NearestWord(std::string_view word, std::span<const std::string> candidates);
/// Returns: the key most likely meant by an unknown one in this section: a near sibling, else the same key elsewhere in
/// the spec; empty if nothing is near.
std::string NearestKey(const SpecMessage& section, std::string_view section_key, std::string_view unknown);

/// Calls visit(field, dotted key) for each value of the schema, in the schema's order; a list of sections once, as its
/// first entry.
void VisitSchema(const SpecMessage& message, std::string_view prefix,
                 const std::function<void(const SpecField&, const std::string&)>& visit);

}  // namespace ferment
