// SPDX-License-Identifier: Apache-2.0
#include "common/config/newer_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

namespace ferment {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string Find(const Message& message, const Descriptor& type);

std::string Within(const FieldDescriptor& field, const Message& message) {
  std::string found = Find(message, *field.message_type());
  return found.empty() ? found : field.name() + "." + found;
}

std::string InField(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  if (!field.is_repeated()) {
    return reflection.HasField(message, &field) ? Within(field, reflection.GetMessage(message, &field)) : "";
  }
  const int size = reflection.FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    std::string found = Within(field, reflection.GetRepeatedMessage(message, &field, i));
    if (!found.empty()) return found;
  }
  return "";
}

bool MayHoldMessages(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_map();
}

/// A log of a million events is read through this at each start: no list of fields is made, and of a oneof one field is
/// looked at.
std::string Find(const Message& message, const Descriptor& type) {
  const auto& reflection = *message.GetReflection();
  const auto& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) return "#" + std::to_string(unknown.field(0).number());
  int others = type.field_count();
  for (int i = 0; i < type.real_oneof_decl_count(); ++i) {
    others -= type.oneof_decl(i)->field_count();
    const FieldDescriptor* field = reflection.GetOneofFieldDescriptor(message, type.oneof_decl(i));
    if (field == nullptr || !MayHoldMessages(*field)) continue;
    std::string found = InField(message, *field);
    if (!found.empty()) return found;
  }
  for (int i = 0; others > 0 && i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!MayHoldMessages(field) || field.real_containing_oneof() != nullptr) continue;
    std::string found = InField(message, field);
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace

std::string FieldOfANewerVersion(const Message& message) { return Find(message, *message.GetDescriptor()); }

}  // namespace ferment
