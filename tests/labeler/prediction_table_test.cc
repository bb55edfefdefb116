// SPDX-License-Identifier: Apache-2.0
#include "labeler/prediction_table.h"

#include <gtest/gtest.h>

#include "common/base/json.h"

namespace ferment::labeler {
namespace {

const std::vector<std::string> kClasses = {"Neutral", "Anger"};
const std::vector<PredictionRow> kRows = {{"a,b.jpg", std::nullopt, {0.25F, 0.75F}}, {"video", 7, {0.5F, 0.5F}}};

TEST(PredictionTable, CsvQuotesPathsAndLeavesTheFrameOfAPictureEmpty) {
  EXPECT_EQ(PredictionText(kRows, kClasses, PredictFormat::kCsv),
            "path,frame,prediction,class,p_Neutral,p_Anger\n"
            "\"a,b.jpg\",,1,Anger,0.25,0.75\n"
            "video,7,0,Neutral,0.5,0.5\n");
}

TEST(PredictionTable, JsonNamesTheClassAndEveryProbability) {
  const auto json = ParseJson(PredictionText(kRows, kClasses, PredictFormat::kJson));
  ASSERT_TRUE(json);
  EXPECT_FALSE((*json)[0].contains("frame"));
  EXPECT_EQ((*json)[0]["class"], "Anger");
  EXPECT_EQ((*json)[0]["probabilities"]["Neutral"], 0.25);
  EXPECT_EQ((*json)[1]["frame"], 7);
  EXPECT_EQ((*json)[1]["prediction"], 0);
}

TEST(PredictionTable, JsonSurvivesAPathThatIsNotUtf8) {
  EXPECT_TRUE(ParseJson(PredictionText({{"\xff.jpg", std::nullopt, {1, 0}}}, kClasses, PredictFormat::kJson)));
}

TEST(PredictionTable, TextIsALineARow) {
  EXPECT_EQ(PredictionText(kRows, kClasses, PredictFormat::kText), "a,b.jpg  Anger  0.750\nvideo  7  Neutral  0.500\n");
}

}  // namespace
}  // namespace ferment::labeler
