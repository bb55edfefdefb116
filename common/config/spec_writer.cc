// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include "common/config/spec_loader.h"
#include "common/config/spec_value.h"

namespace ferment {
namespace {

using google::protobuf::Message;

void WriteSection(const Message& message, std::size_t indent, std::string& yaml);

void WriteValueList(const Message& message, const SpecField& field, std::string& yaml) {
  yaml += "[";
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    yaml += (i > 0 ? ", " : "") + ValueToYaml(message, field, i);
  }
  yaml += "]\n";
}

void WriteSectionList(const Message& message, const SpecField& field, std::size_t indent, std::string& yaml) {
  const auto* const reflection = message.GetReflection();
  yaml += "\n";
  for (int i = 0; i < reflection->FieldSize(message, &field); ++i) {
    const std::size_t start = yaml.size();
    WriteSection(reflection->GetRepeatedMessage(message, &field, i), indent + 4, yaml);
    // The dash takes the place of two blanks before the entry's first key.
    if (yaml.size() > start) {
      yaml[start + indent + 2] = '-';
    } else {
      yaml += std::string(indent + 2, ' ') + "- {}\n";
    }
  }
}

void WriteSection(const Message& message, std::size_t indent, std::string& yaml) {
  const auto* const reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const SpecField& field = *message.GetDescriptor()->field(i);
    const bool present =
        field.is_repeated() ? reflection->FieldSize(message, &field) > 0 : reflection->HasField(message, &field);
    if (!present) continue;
    yaml += std::string(indent, ' ') + std::string(KeyOf(field)) + ":";
    if (IsSectionList(field)) {
      WriteSectionList(message, field, indent, yaml);
    } else if (IsSection(field)) {
      const std::size_t start = yaml.size();
      yaml += "\n";
      WriteSection(reflection->GetMessage(message, &field), indent + 2, yaml);
      if (yaml.size() == start + 1) yaml.insert(start, " {}");
    } else if (field.is_repeated()) {
      yaml += " ";
      WriteValueList(message, field, yaml);
    } else {
      yaml += " " + ValueToYaml(message, field) + "\n";
    }
  }
}

}  // namespace

std::string SpecToYaml(const RunSpec& spec) {
  std::string yaml;
  WriteSection(spec, 0, yaml);
  return yaml;
}

}  // namespace ferment
