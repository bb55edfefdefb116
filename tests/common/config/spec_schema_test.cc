// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_schema.h"

#include <gtest/gtest.h>

#include <set>

#include "common/config/spec_value.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

TEST(SpecSchema, GivesEveryKeyAMeaningAndItsOwnVariable) {
  std::set<std::string> variables;
  int keys = 0;
  VisitSchema(*RunSpec::descriptor(), "", [&](const SpecField& field, const std::string& key) {
    ++keys;
    EXPECT_FALSE(RuleOf(field).about().empty()) << key;
    EXPECT_TRUE(variables.insert(EnvironmentName(key)).second) << EnvironmentName(key);
    EXPECT_NE(RuleOf(field).has_default_value(),
              RuleOf(field).may_be_absent() || key == "data.fer.path" || key == "data.videos.path")
        << key << " needs a default, or may be absent, or is required";
  });
  EXPECT_GT(keys, 90);
}

TEST(SpecSchema, HoldsChoicesWithTheDefaultFirst) {
  VisitSchema(*RunSpec::descriptor(), "", [&](const SpecField& field, const std::string& key) {
    const v1::FieldRule& rule = RuleOf(field);
    if (rule.choices_size() > 0 && !field.is_repeated()) {
      EXPECT_EQ(rule.choices(0), rule.default_value()) << key;
    }
  });
}

TEST(SpecSchema, SpellsVariables) {
  EXPECT_EQ(EnvironmentName("apiVersion"), "FERMENT_API_VERSION");
  EXPECT_EQ(EnvironmentName("cotrain.feedback.start_step"), "FERMENT_COTRAIN_FEEDBACK_START_STEP");
}

TEST(SpecSchema, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0U);
  EXPECT_EQ(EditDistance("abc", ""), 3U);
  EXPECT_EQ(EditDistance("batch", "bacth"), 1U);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3U);
}

TEST(SpecSchema, FindsTheNearestWordOrNone) {
  const std::vector<std::string> words = {"steps", "batch", "lr"};
  EXPECT_EQ(NearestWord("step", words), "steps");
  EXPECT_EQ(NearestWord("l", words), "lr");
  EXPECT_EQ(NearestWord("momentum", words), "");
  EXPECT_EQ(NearestWord(std::string(100000, 's'), words), "");
}

TEST(SpecValue, WritesNumbersShortly) {
  EXPECT_EQ(NumberText(0), "0");
  EXPECT_EQ(NumberText(9007199254740992.0), "9007199254740992");
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(0.995), "0.995");
  EXPECT_DOUBLE_EQ(std::stod(NumberText(1.0 / 3)), 1.0 / 3);
}

TEST(SpecValue, ShortensWhatItShows) {
  EXPECT_EQ(ShowText("a\"b"), "\"a\\\"b\"");
  EXPECT_EQ(ShowText("\xff"), "text that is not UTF-8");
  const std::string shown = ShowText("x" + std::string(59, 'y') + "\xc3\xa9 and on");
  EXPECT_TRUE(IsUtf8(shown));
  EXPECT_LT(shown.size(), 90U);
}

}  // namespace
}  // namespace ferment
