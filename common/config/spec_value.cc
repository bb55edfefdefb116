// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

using google::protobuf::Message;

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::optional<double> ParseDouble(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool IsWholeNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Status Wrong(std::string_view text, std::string_view what, const SpecField& field) {
  const std::string shown = ParseDouble(text) && text.size() <= 32 ? std::string(text) : ShowText(text);
  return InvalidArgumentError(shown + " " + std::string(what) + "; allowed: " + AllowedText(field));
}

bool InRange(const v1::FieldRule& rule, double value) {
  if (rule.has_min() && (rule.exclusive_min() ? value <= rule.min() : value < rule.min())) return false;
  return !rule.has_max() || (rule.exclusive_max() ? value < rule.max() : value <= rule.max());
}

Status SetWhole(Message& message, const SpecField& field, std::string_view text) {
  if (!IsWholeNumber(text)) return Wrong(text, "is not a whole number", field);
  std::uint64_t value = 0;
  const bool parsed = std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  const bool wide = field.cpp_type() == SpecField::CPPTYPE_UINT64;
  // 2^53, where doubles end to count: bounds are doubles.
  const std::uint64_t limit = wide ? std::uint64_t{1} << 53 : std::numeric_limits<std::uint32_t>::max();
  if (!parsed || value > limit || !InRange(RuleOf(field), static_cast<double>(value))) {
    return Wrong(text, "is out of range", field);
  }
  if (wide) {
    message.GetReflection()->SetUInt64(&message, &field, value);
  } else {
    message.GetReflection()->SetUInt32(&message, &field, static_cast<std::uint32_t>(value));
  }
  return {};
}

Status SetDouble(Message& message, const SpecField& field, std::string_view text) {
  const std::optional<double> value = ParseDouble(text);
  if (!value) return Wrong(text, "is not a number", field);
  if (!InRange(RuleOf(field), *value)) return Wrong(text, "is out of range", field);
  message.GetReflection()->SetDouble(&message, &field, *value + 0.0);  // no negative zero
  return {};
}

Status SetBool(Message& message, const SpecField& field, std::string_view text) {
  const bool yes = text == "true" || text == "True" || text == "TRUE";
  const bool no = text == "false" || text == "False" || text == "FALSE";
  if (!yes && !no) return Wrong(text, "is neither true nor false", field);
  message.GetReflection()->SetBool(&message, &field, yes);
  return {};
}

Status CheckChoice(const SpecField& field, std::string_view text) {
  const auto& choices = RuleOf(field).choices();
  if (choices.empty()) return {};
  const std::string wanted = field.is_repeated() ? Lower(text) : std::string(text);
  std::vector<std::string> words;
  for (const std::string& choice : choices) {
    words.push_back(field.is_repeated() ? Lower(choice) : choice);
    if (words.back() == wanted) return {};
  }
  const std::string nearest = NearestWord(field.is_repeated() ? wanted : Lower(text), words);
  Status wrong = Wrong(text, field.is_repeated() ? "is not a known class" : "is not a choice", field);
  if (nearest.empty()) return wrong;
  const auto at = std::ranges::find(words, nearest) - words.begin();
  return InvalidArgumentError(std::string(wrong.message()) + "; nearest: " + choices[static_cast<int>(at)]);
}

Status SetText(Message& message, const SpecField& field, std::string_view text) {
  if (text.empty()) return InvalidArgumentError("is empty; allowed: " + AllowedText(field));
  if (std::ranges::any_of(text, IsControl)) return Wrong(text, "holds a control character", field);
  if (!IsUtf8(text)) return Wrong(text, "is not UTF-8", field);
  if (Status choice = CheckChoice(field, text); !choice.ok()) return choice;
  const auto* const reflection = message.GetReflection();
  if (field.is_repeated()) {
    reflection->AddString(&message, &field, std::string(text));
  } else {
    reflection->SetString(&message, &field, std::string(text));
  }
  return {};
}

bool IsPlainWord(std::string_view text) {
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '/' || c == '.' || c == '-';
  };
  if (text.empty() || !std::ranges::all_of(text, fits)) return false;
  const bool starts_plainly = std::isalpha(static_cast<unsigned char>(text.front())) != 0 || text.front() == '/';
  return starts_plainly && Lower(text) != "null" && Lower(text) != "none";
}

std::string Quoted(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (IsControl(c)) {
      const auto byte = static_cast<unsigned char>(c);
      quoted += {'\\', 'x', kHex[byte >> 4U], kHex[byte & 15U]};
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

Status SetValue(Message& message, const SpecField& field, std::string_view text, bool quoted) {
  const bool is_text = field.cpp_type() == SpecField::CPPTYPE_STRING;
  if (quoted && !is_text)
    return InvalidArgumentError(ShowText(text) + " is text in quotes; allowed: " + AllowedText(field));
  switch (field.cpp_type()) {
    case SpecField::CPPTYPE_UINT32:
    case SpecField::CPPTYPE_UINT64:
      return SetWhole(message, field, text);
    case SpecField::CPPTYPE_DOUBLE:
      return SetDouble(message, field, text);
    case SpecField::CPPTYPE_BOOL:
      return SetBool(message, field, text);
    case SpecField::CPPTYPE_STRING:
      return SetText(message, field, text);
    default:
      return InternalError("the schema has a type that the loader does not know: field=" + field.full_name());
  }
}

std::string ValueToYaml(const Message& message, const SpecField& field, int entry) {
  const auto* const reflection = message.GetReflection();
  switch (field.cpp_type()) {
    case SpecField::CPPTYPE_UINT32:
      return std::to_string(reflection->GetUInt32(message, &field));
    case SpecField::CPPTYPE_UINT64:
      return std::to_string(reflection->GetUInt64(message, &field));
    case SpecField::CPPTYPE_DOUBLE:
      return NumberText(reflection->GetDouble(message, &field));
    case SpecField::CPPTYPE_BOOL:
      return reflection->GetBool(message, &field) ? "true" : "false";
    default:
      break;
  }
  const std::string text = field.is_repeated() ? reflection->GetRepeatedString(message, &field, entry)
                                               : reflection->GetString(message, &field);
  return IsPlainWord(text) ? text : Quoted(text);
}

std::string NumberText(double value) {
  constexpr double kWholeUpTo = 9007199254740992.0;
  if (value == std::floor(value) && std::abs(value) <= kWholeUpTo)
    return std::to_string(static_cast<std::int64_t>(value));
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

std::string ShowText(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  if (!IsUtf8(text)) return "text that is not UTF-8";
  if (text.size() <= kLongest) return Quoted(text);
  std::size_t end = kLongest;
  while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return Quoted(text.substr(0, end)) + "... (" + std::to_string(text.size()) + " bytes)";
}

bool IsObjectPlace(std::string_view path) { return path.starts_with("s3://"); }

bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : (lead & 0xF0U) == 0xE0      ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || text.size() - i < length) return false;
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[i + at]); };
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(k) & 0xC0U) != 0x80) return false;
    }
    const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    const bool beyond = lead == 0xF4 && byte(1) >= 0x90;
    if (overlong || surrogate || beyond) return false;
    i += length;
  }
  return true;
}

}  // namespace ferment
