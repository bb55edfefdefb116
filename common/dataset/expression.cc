// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/expression.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ferment::dataset {
namespace {

constexpr int kDropped = -1;

char Lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return Lower(x) == Lower(y); });
}

std::optional<int> FromTable(int label, std::span<const int> table) {
  if (label < 0 || static_cast<std::size_t>(label) >= table.size()) return std::nullopt;
  const int expression = table[static_cast<std::size_t>(label)];
  return expression == kDropped ? std::nullopt : std::optional(expression);
}

std::optional<int> ParseIndex(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

ContemptRule ContemptRuleOf(std::string_view text) {
  return text == "drop" ? ContemptRule::kDrop : ContemptRule::kAsOther;
}

std::optional<int> ExpressionFromName(std::string_view name) {
  for (std::size_t i = 0; i < kExpressionNames.size(); ++i)
    if (SameName(name, kExpressionNames[i])) return static_cast<int>(i);
  using Alias = std::pair<std::string_view, int>;
  static constexpr std::array<Alias, 14> kAliases = {{{"angry", 1},
                                                      {"disgusted", 2},
                                                      {"fearful", 3},
                                                      {"scared", 3},
                                                      {"happy", 4},
                                                      {"sad", 5},
                                                      {"surprised", 6},
                                                      {"others", 7},
                                                      {"contempt", kContempt},
                                                      {"neu", 0},
                                                      {"ang", 1},
                                                      {"dis", 2},
                                                      {"fea", 3},
                                                      {"hap", 4}}};
  for (const auto& [alias, expression] : kAliases)
    if (SameName(name, alias)) return expression;
  return std::nullopt;
}

std::optional<int> ExpressionOfAffectNet(int label) {
  static constexpr std::array kTable = {0, 4, 5, 6, 3, 2, 1, kContempt, kDropped, kDropped, kDropped};
  return FromTable(label, kTable);
}

std::optional<int> ExpressionOfExpW(int label) {
  static constexpr std::array kTable = {1, 2, 3, 4, 5, 6, 0};
  return FromTable(label, kTable);
}

std::optional<int> ExpressionOfRafDb(int label) {
  static constexpr std::array kTable = {kDropped, 6, 3, 2, 4, 5, 1, 0};
  return FromTable(label, kTable);
}

std::optional<int> ExpressionOfFerPlus(int column) {
  static constexpr std::array kTable = {0, 4, 6, 5, 1, 2, 3, kContempt, kDropped, kDropped};
  return FromTable(column, kTable);
}

void ClassMap::Prepare() {
  for (std::size_t label = 0; label < names_.size(); ++label) {
    const auto expression = ExpressionFromName(names_[label]);
    if (expression) {
      labels_[static_cast<std::size_t>(*expression)] = static_cast<int>(label);
    } else {
      among_the_eight_ = false;
    }
  }
  if (contempt_ == ContemptRule::kAsOther && !labels_[kContempt]) labels_[kContempt] = labels_[kOther];
}

std::optional<int> ClassMap::FromText(std::string_view text) const {
  for (std::size_t label = 0; label < names_.size(); ++label)
    if (SameName(text, names_[label])) return static_cast<int>(label);
  if (const auto index = ParseIndex(text)) {
    if (*index < 0) return std::nullopt;
    if (!among_the_eight_) return *index < size() ? index : std::nullopt;
    return *index < static_cast<int>(kExpressionNames.size()) ? FromExpression(*index) : std::nullopt;
  }
  const auto expression = ExpressionFromName(text);
  return expression ? FromExpression(*expression) : std::nullopt;
}

bool ClassMap::Knows(std::string_view text) const {
  const auto index = ParseIndex(text);
  return FromText(text).has_value() || ExpressionFromName(text).has_value() ||
         (index && among_the_eight_ && *index >= 0 && *index < static_cast<int>(kExpressionNames.size()));
}

}  // namespace ferment::dataset
