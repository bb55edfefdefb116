// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_reader.h"

#include <charconv>
#include <cstdlib>

#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

std::string KindText(const SpecNode& node) {
  switch (node.kind) {
    case SpecNode::Kind::kNull:
      return "nothing";
    case SpecNode::Kind::kScalar:
      return ShowText(node.text);
    case SpecNode::Kind::kList:
      return "a list";
    case SpecNode::Kind::kMap:
      return "a map";
  }
  return "nothing";
}

bool IsNone(const SpecNode& node) {
  return node.kind == SpecNode::Kind::kNull ||
         (node.kind == SpecNode::Kind::kScalar && !node.quoted && node.text == "none");
}

std::string KeysOf(const SpecMessage& message) {
  std::string keys;
  for (int i = 0; i < message.field_count(); ++i) keys += (i > 0 ? ", " : "") + std::string(KeyOf(*message.field(i)));
  return keys;
}

// A key as written, where it fits a line.
std::string ShowKey(const std::string& key) {
  const std::string shown = ShowText(key);
  return shown.size() == key.size() + 2 ? key : shown;
}

std::string UnknownKey(const SpecMessage& message, const std::string& section, std::string_view word) {
  if (word.find('.') != std::string_view::npos)
    return "unknown key; in a file keys stand inside their section, dots are for --set";
  const std::string nearest = NearestKey(message, section, word);
  return nearest.empty() ? "unknown key; allowed here: " + KeysOf(message) : "unknown key; nearest: " + nearest;
}

}  // namespace

SpecOrigin SpecReader::OriginAt(SpecPlace place) const {
  if (fixed_origin_ != nullptr) return *fixed_origin_;
  return {.kind = SpecOrigin::Kind::kFile, .source = loaded_.file.string(), .line = place.line, .column = place.column};
}

void SpecReader::Fault(SpecPlace place, const std::string& key, const std::string& what) {
  faults_.Add(OriginAt(place), key, what);
}

void SpecReader::ReadText(std::string_view text) { ReadTree(ParseSpecText(text)); }

void SpecReader::ReadTree(const SpecTree& tree) {
  for (const SpecTextFault& fault : tree.faults) Fault(fault.place, "", fault.what);
  ReadSection(loaded_.spec, *tree.root, tree.place, "");
}

void SpecReader::ReadSection(Message& message, const SpecNode& node, SpecPlace place, const std::string& key) {
  sections_.try_emplace(key, OriginAt(place));
  if (node.kind == SpecNode::Kind::kNull) return;
  const SpecMessage& descriptor = *message.GetDescriptor();
  if (node.kind != SpecNode::Kind::kMap) {
    return Fault(place, key, KindText(node) + " where keys are expected; allowed here: " + KeysOf(descriptor));
  }
  std::map<std::string, SpecPlace> seen;
  for (const SpecChild& child : node.children) {
    if (faults_.full()) return;
    const std::string child_key = JoinKey(key, child.key);
    const SpecField* const field = FindField(descriptor, child.key);
    if (field == nullptr) {
      Fault(child.key_place, JoinKey(key, ShowKey(child.key)), UnknownKey(descriptor, key, child.key));
    } else if (const auto [first, added] = seen.try_emplace(child.key, child.key_place); !added) {
      Fault(child.key_place, child_key, "given twice; first in line " + std::to_string(first->second.line));
    } else {
      ReadField(message, *field, *child.node, child.place, child_key);
    }
  }
}

void SpecReader::ReadField(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                           const std::string& key) {
  if (IsSectionList(field)) return ReadSectionList(message, field, node, place, key);
  if (field.is_repeated()) return ReadValueList(message, field, node, place, key);
  if (!IsSection(field)) return ReadValue(message, field, node, place, key);
  if (IsNone(node) && RuleOf(field).may_be_absent()) return Clear(message, field, key);
  ReadSection(*message.GetReflection()->MutableMessage(&message, &field), node, place, key);
}

void SpecReader::Clear(Message& message, const SpecField& field, const std::string& key) {
  message.GetReflection()->ClearField(&message, &field);
  std::erase_if(loaded_.origins, [&](const auto& entry) {
    return entry.first == key || entry.first.starts_with(key + ".") || entry.first.starts_with(key + "[");
  });
}

bool SpecReader::FitsList(const SpecField& field, const SpecNode& node, SpecPlace place, const std::string& key) {
  const std::size_t most = RuleOf(field).max_items();
  if (most == 0 || node.children.size() <= most) return true;
  Fault(place, key,
        "a list of " + std::to_string(node.children.size()) + " entries; allowed: at most " + std::to_string(most));
  return false;
}

void SpecReader::ReadSectionList(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                                 const std::string& key) {
  Clear(message, field, key);
  if (IsNone(node)) return;
  const auto* const reflection = message.GetReflection();
  if (node.kind != SpecNode::Kind::kList)
    return ReadSection(*reflection->AddMessage(&message, &field), node, place, key);
  if (!FitsList(field, node, place, key)) return;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const SpecChild& child = node.children[i];
    ReadSection(*reflection->AddMessage(&message, &field), *child.node, child.place, EntryKey(key, i));
  }
}

void SpecReader::ReadValueList(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                               const std::string& key) {
  Clear(message, field, key);
  if (node.kind != SpecNode::Kind::kList) {
    return Fault(place, key, KindText(node) + " is not a list; allowed: " + AllowedText(field));
  }
  if (node.children.empty()) return Fault(place, key, "an empty list; allowed: " + AllowedText(field));
  if (!FitsList(field, node, place, key)) return;
  for (const SpecChild& child : node.children) {
    if (child.node->kind != SpecNode::Kind::kScalar) {
      Fault(child.place, key, KindText(*child.node) + " in place of one value; allowed: " + AllowedText(field));
    } else if (const Status set = SetValue(message, field, child.node->text, child.node->quoted); !set.ok()) {
      Fault(child.place, key, std::string(set.message()));
    }
  }
  loaded_.origins[key] = OriginAt(place);
}

void SpecReader::ReadValue(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                           const std::string& key) {
  if (IsNone(node) && RuleOf(field).may_be_absent()) return Clear(message, field, key);
  if (node.kind == SpecNode::Kind::kNull) return Fault(place, key, "has no value; allowed: " + AllowedText(field));
  if (node.kind != SpecNode::Kind::kScalar) {
    return Fault(place, key, KindText(node) + " in place of one value; allowed: " + AllowedText(field));
  }
  const Status set = SetValue(message, field, node.text, node.quoted);
  if (!set.ok()) return Fault(place, key, std::string(set.message()));
  loaded_.origins[key] = OriginAt(place);
}

void SpecReader::ReadEnvironment() {
  VisitSchema(*RunSpec::descriptor(), "", [&](const SpecField&, const std::string& key) {
    const std::string name = EnvironmentName(key);
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return;
    const SpecOrigin origin{.kind = SpecOrigin::Kind::kEnvironment, .source = name, .line = 0, .column = 0};
    fixed_origin_ = &origin;
    ReadDotted(key, value);
    fixed_origin_ = nullptr;
  });
}

void SpecReader::ReadOverrides(std::span<const SpecOverride> overrides) {
  for (const SpecOverride& flag : overrides) {
    const std::string source = "--set " + flag.key + "=" + flag.value;
    const SpecOrigin origin{.kind = SpecOrigin::Kind::kFlag, .source = source, .line = 0, .column = 0};
    fixed_origin_ = &origin;
    ReadDotted(flag.key, flag.value);
    fixed_origin_ = nullptr;
  }
}

// Walks "data.fer[1].path" down to its field.
void SpecReader::ReadDotted(const std::string& dotted, const std::string& value) {
  Message* message = &loaded_.spec;
  std::string key;
  std::string_view rest = dotted;
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const std::string_view word = part.substr(0, part.find('['));
    const std::string_view index = part.substr(word.size());
    const SpecField* const field = FindField(*message->GetDescriptor(), word);
    if (field == nullptr) return Fault({}, dotted, UnknownKey(*message->GetDescriptor(), key, word));
    key = JoinKey(key, word);
    if (dot == std::string_view::npos && index.empty()) return ReadOverrideValue(*message, *field, value, key);
    message = Descend(*message, *field, index, key);
    if (message == nullptr) return;
    if (dot == std::string_view::npos)
      return Fault({}, dotted, "a list entry is set by its keys; allowed: " + KeysOf(*message->GetDescriptor()));
    rest.remove_prefix(dot + 1);
  }
}

// Returns: the section that holds what comes next, or null after a fault. Extends `key` by the entry.
SpecReader::Message* SpecReader::Descend(Message& message, const SpecField& field, std::string_view index,
                                         std::string& key) {
  const auto* const reflection = message.GetReflection();
  if (IsSection(field) && index.empty()) {
    sections_.try_emplace(key, OriginAt({}));
    return reflection->MutableMessage(&message, &field);
  }
  if (!IsSectionList(field)) {
    Fault({}, key, index.empty() ? "is a value and has no keys of its own" : "is not a list of sections");
    return nullptr;
  }
  std::uint32_t entry = 0;
  const bool closed = index.size() > 2 && index.ends_with(']');
  const auto [end, error] = std::from_chars(index.data() + (index.empty() ? 0 : 1), index.data() + index.size(), entry);
  const bool valid = index.empty() || (closed && error == std::errc() && end + 1 == index.data() + index.size());
  const auto size = static_cast<std::uint32_t>(reflection->FieldSize(message, &field));
  if (!valid || entry > size || entry >= RuleOf(field).max_items()) {
    Fault({}, key + std::string(index), "no such entry; allowed: [0] to [" + std::to_string(size) + "]");
    return nullptr;
  }
  key = EntryKey(key, entry);
  sections_.try_emplace(key, OriginAt({}));
  return entry == size ? reflection->AddMessage(&message, &field)
                       : reflection->MutableRepeatedMessage(&message, &field, static_cast<int>(entry));
}

void SpecReader::ReadOverrideValue(Message& message, const SpecField& field, const std::string& value,
                                   const std::string& key) {
  const bool is_value = field.cpp_type() != SpecField::CPPTYPE_MESSAGE && !field.is_repeated();
  if (is_value) {
    SpecNode node;
    if (!value.empty()) node.kind = SpecNode::Kind::kScalar;
    node.text = value;
    return ReadField(message, field, node, {}, key);
  }
  const bool words = field.is_repeated() && !IsSectionList(field) && !value.starts_with('[');
  const SpecTree tree = ParseSpecText(words ? "[" + value + "]" : value);
  for (const SpecTextFault& fault : tree.faults) Fault({}, key, fault.what);
  if (tree.faults.empty()) ReadField(message, field, *tree.root, {}, key);
}

void SpecReader::CheckRequired() { CheckRequiredIn(loaded_.spec, ""); }

void SpecReader::CheckRequiredIn(const Message& message, const std::string& key) {
  const auto* const reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const SpecField& field = *message.GetDescriptor()->field(i);
    const std::string field_key = JoinKey(key, KeyOf(field));
    if (IsSectionList(field)) {
      for (int k = 0; k < reflection->FieldSize(message, &field); ++k) {
        CheckRequiredIn(reflection->GetRepeatedMessage(message, &field, k),
                        EntryKey(field_key, static_cast<std::size_t>(k)));
      }
    } else if (IsSection(field)) {
      if (reflection->HasField(message, &field)) CheckRequiredIn(reflection->GetMessage(message, &field), field_key);
    } else if (!field.is_repeated()) {
      const bool required = !RuleOf(field).has_default_value() && !RuleOf(field).may_be_absent();
      if (!required || reflection->HasField(message, &field) || faults_.Has(field_key)) continue;
      faults_.Add(sections_[key], field_key, "is required here; allowed: " + AllowedText(field));
    }
  }
}

}  // namespace ferment
