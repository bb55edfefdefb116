// SPDX-License-Identifier: Apache-2.0
//
// The eight classes of the ABAW expression challenge, and how every data set's own labels map to them.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferment::dataset {

/// In the order of Aff-Wild2's annotation header; the position is the label.
inline constexpr std::array<std::string_view, 8> kExpressionNames = {"Neutral",   "Anger",   "Disgust",  "Fear",
                                                                     "Happiness", "Sadness", "Surprise", "Other"};

inline constexpr int kOther = 7;
/// AffectNet and FER+ have contempt and the eight do not: what becomes of it is the run's choice (data.contempt).
inline constexpr int kContempt = 8;
enum class ContemptRule { kAsOther, kDrop };

/// Returns: kAsOther unless `text` is "drop", as data.contempt has it.
ContemptRule ContemptRuleOf(std::string_view text);

/// Returns: 0..7 or kContempt for a name in any case, also "angry", "happy", "sad", "surprised" and the like.
std::optional<int> ExpressionFromName(std::string_view name);
/// Each Returns: 0..7 or kContempt, or nothing for a label that is dropped (uncertain, no face, unknown) or that the
/// set does not have.
std::optional<int> ExpressionOfAffectNet(int label);
std::optional<int> ExpressionOfExpW(int label);
std::optional<int> ExpressionOfRafDb(int label);
/// Fer+'s ten vote columns: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF.
std::optional<int> ExpressionOfFerPlus(int column);

/// From the eight expressions, or a class name of a list, to the run's label. A value.
class ClassMap {
 public:
  /// Requires: class names of a spec, in label order.
  template <typename Names>
  explicit ClassMap(const Names& names, ContemptRule contempt = ContemptRule::kAsOther)
      : names_(names.begin(), names.end()), contempt_(contempt) {
    Prepare();
  }

  const std::vector<std::string>& names() const { return names_; }
  int size() const { return static_cast<int>(names_.size()); }
  ContemptRule contempt() const { return contempt_; }
  /// Returns: the label, or nothing where the run does not have the class. Requires: 0..7 or kContempt.
  std::optional<int> FromExpression(int expression) const { return labels_[static_cast<std::size_t>(expression)]; }
  /// Returns: the label of a name in any case, or of an index: into the eight where the run's classes are among them,
  /// else into the run's own. Nothing where the run does not have the class.
  std::optional<int> FromText(std::string_view text) const;
  /// Returns: whether the text names any class at all, of the run or of the eight.
  bool Knows(std::string_view text) const;

 private:
  void Prepare();

  std::vector<std::string> names_;
  ContemptRule contempt_;
  /// By expression, contempt last.
  std::array<std::optional<int>, kContempt + 1> labels_;
  bool among_the_eight_ = true;
};

}  // namespace ferment::dataset
