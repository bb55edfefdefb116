// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_schema.h"

#include <algorithm>
#include <cctype>
#include <numeric>

#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

std::string NumberRange(const v1::FieldRule& rule) {
  std::string low;
  std::string high;
  if (rule.has_min()) low = (rule.exclusive_min() ? "above " : "") + NumberText(rule.min());
  if (rule.has_max()) high = (rule.exclusive_max() ? "below " : "") + NumberText(rule.max());
  if (low.empty() || high.empty()) return low.empty() ? "at most " + high : "at least " + low;
  return low + (rule.exclusive_min() ? ", up to " : " to ") + high;
}

}  // namespace

const v1::FieldRule& RuleOf(const SpecField& field) { return field.options().GetExtension(v1::rule); }

std::string_view KeyOf(const SpecField& field) {
  const v1::FieldRule& rule = RuleOf(field);
  return rule.key().empty() ? std::string_view(field.name()) : std::string_view(rule.key());
}

const SpecField* FindField(const SpecMessage& message, std::string_view key) {
  for (int i = 0; i < message.field_count(); ++i) {
    if (KeyOf(*message.field(i)) == key) return message.field(i);
  }
  return nullptr;
}

std::string JoinKey(std::string_view prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : std::string(prefix) + "." + std::string(key);
}

std::string EntryKey(const std::string& key, std::size_t entry) {
  return entry == 0 ? key : key + "[" + std::to_string(entry) + "]";
}

bool IsSection(const SpecField& field) {
  return field.cpp_type() == SpecField::CPPTYPE_MESSAGE && !field.is_repeated();
}

bool IsSectionList(const SpecField& field) {
  return field.cpp_type() == SpecField::CPPTYPE_MESSAGE && field.is_repeated();
}

std::string AllowedText(const SpecField& field) {
  const v1::FieldRule& rule = RuleOf(field);
  if (rule.choices_size() > 0) {
    const std::string separator = field.is_repeated() ? ", " : " | ";
    std::string text = field.is_repeated() ? "a list of " : "";
    for (int i = 0; i < rule.choices_size(); ++i) text += (i > 0 ? separator : "") + rule.choices(i);
    return text;
  }
  if (field.cpp_type() == SpecField::CPPTYPE_BOOL) return "true or false";
  if (field.cpp_type() == SpecField::CPPTYPE_STRING)
    return rule.path() == v1::PATH_BASE_UNSPECIFIED ? "text" : "a path";
  if (rule.has_min() || rule.has_max()) return NumberRange(rule);
  return field.cpp_type() == SpecField::CPPTYPE_DOUBLE ? "a number" : "a whole number";
}

std::string EnvironmentName(std::string_view dotted_key) {
  const auto* const api_version = RunSpec::descriptor()->FindFieldByNumber(RunSpec::kApiVersionFieldNumber);
  if (dotted_key == KeyOf(*api_version)) dotted_key = api_version->name();
  std::string name = "FERMENT_";
  for (const char c : dotted_key) {
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string NearestWord(std::string_view word, std::span<const std::string> candidates) {
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return {};
  std::string nearest;
  std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string NearestKey(const SpecMessage& section, std::string_view section_key, std::string_view unknown) {
  std::vector<std::string> siblings;
  for (int i = 0; i < section.field_count(); ++i) siblings.emplace_back(KeyOf(*section.field(i)));
  if (const std::string near = NearestWord(unknown, siblings); !near.empty()) return JoinKey(section_key, near);

  std::string elsewhere;
  VisitSchema(*RunSpec::descriptor(), "", [&](const SpecField& field, const std::string& key) {
    if (elsewhere.empty() && KeyOf(field) == unknown) elsewhere = key;
  });
  if (!elsewhere.empty()) return elsewhere;

  for (const std::string& sibling : siblings) {
    const bool part = unknown.size() >= 2 && (sibling.starts_with(unknown) || unknown.starts_with(sibling + "_"));
    if (part) return JoinKey(section_key, sibling);
  }
  return {};
}

void VisitSchema(const SpecMessage& message, std::string_view prefix,
                 const std::function<void(const SpecField&, const std::string&)>& visit) {
  for (int i = 0; i < message.field_count(); ++i) {
    const SpecField& field = *message.field(i);
    const std::string key = JoinKey(prefix, KeyOf(field));
    if (field.cpp_type() == SpecField::CPPTYPE_MESSAGE) {
      VisitSchema(*field.message_type(), key, visit);
    } else {
      visit(field, key);
    }
  }
}

}  // namespace ferment
