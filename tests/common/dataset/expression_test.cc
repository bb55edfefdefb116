// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/expression.h"

#include <gtest/gtest.h>

namespace ferment::dataset {
namespace {

TEST(Expression, EveryDataSetMapsToTheEightAsTheTableSays) {
  // Columns of the table in docs/formats.md: neutral, anger, disgust, fear, happiness, sadness, surprise.
  const std::array<int, 7> affectnet = {0, 6, 5, 4, 1, 2, 3};
  const std::array<int, 7> expw = {6, 0, 1, 2, 3, 4, 5};
  const std::array<int, 7> rafdb = {7, 6, 3, 2, 4, 5, 1};
  const std::array<int, 7> ferplus = {0, 4, 5, 6, 1, 3, 2};
  for (int expression = 0; expression < 7; ++expression) {
    const auto i = static_cast<std::size_t>(expression);
    EXPECT_EQ(ExpressionOfAffectNet(affectnet[i]), expression);
    EXPECT_EQ(ExpressionOfExpW(expw[i]), expression);
    EXPECT_EQ(ExpressionOfRafDb(rafdb[i]), expression);
    EXPECT_EQ(ExpressionOfFerPlus(ferplus[i]), expression);
  }
  EXPECT_EQ(ExpressionOfAffectNet(7), kContempt);
  EXPECT_EQ(ExpressionOfFerPlus(7), kContempt);
  for (const int dropped : {-1, 8, 9, 10, 11}) EXPECT_EQ(ExpressionOfAffectNet(dropped), std::nullopt);
  EXPECT_EQ(ExpressionOfRafDb(0), std::nullopt);
  EXPECT_EQ(ExpressionOfRafDb(8), std::nullopt);
  EXPECT_EQ(ExpressionOfExpW(7), std::nullopt);
  EXPECT_EQ(ExpressionOfFerPlus(9), std::nullopt);
}

TEST(Expression, AClassMapOfASubsetKeepsItsOrderAndReadsIndexesAsOfTheEight) {
  const ClassMap classes(std::vector<std::string>{"Surprise", "neutral"});
  EXPECT_EQ(classes.FromText("SURPRISE"), 0);
  EXPECT_EQ(classes.FromText("0"), 1);
  EXPECT_EQ(classes.FromText("6"), 0);
  EXPECT_EQ(classes.FromText("Fear"), std::nullopt);
  EXPECT_TRUE(classes.Knows("Fear"));
  EXPECT_FALSE(classes.Knows("Bored"));
  EXPECT_FALSE(classes.Knows("8"));
}

TEST(Expression, ContemptIsOtherOrDroppedAsTheRunSaysAndNoClassOfItsOwn) {
  const ClassMap as_other(kExpressionNames, ContemptRuleOf("other"));
  const ClassMap dropped(kExpressionNames, ContemptRuleOf("drop"));
  EXPECT_EQ(as_other.FromExpression(kContempt), kOther);
  EXPECT_EQ(as_other.FromText("Contempt"), kOther);
  EXPECT_EQ(dropped.FromExpression(kContempt), std::nullopt);
  EXPECT_EQ(dropped.FromText("contempt"), std::nullopt);
  EXPECT_TRUE(dropped.Knows("contempt"));
  EXPECT_EQ(dropped.FromText("Other"), kOther);
  EXPECT_FALSE(as_other.Knows("8"));
  EXPECT_EQ(ClassMap(std::vector<std::string>{"Fear"}).FromExpression(kContempt), std::nullopt);
}

TEST(Expression, ClassesOfAnotherKindAreIndexedAsTheRunListsThem) {
  const ClassMap classes(std::vector<std::string>{"cat", "dog"});
  EXPECT_EQ(classes.FromText("1"), 1);
  EXPECT_EQ(classes.FromText("Dog"), 1);
  EXPECT_EQ(classes.FromText("2"), std::nullopt);
}

}  // namespace
}  // namespace ferment::dataset
