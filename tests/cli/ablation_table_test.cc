// SPDX-License-Identifier: Apache-2.0
#include "cli/ablation_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace ferment::cli {
namespace {

using testing::HasSubstr;

TEST(AblationTable, ShowsModelsAndRows) {
  const auto report = ParseJson(R"({"evaluation": {
    "static": [{"model": "teacher", "macro_f1": 0.5, "accuracy": 0.6}, {"model": "student", "macro_f1": 0.612345}],
    "ablation": [{"semi_supervised": false, "temporal": false, "smoothing": false, "macro_f1": 0.25},
                 {"semi_supervised": true, "temporal": true, "smoothing": true, "macro_f1": null}]}})");
  const std::string text = SummaryText(*report);
  EXPECT_THAT(text, HasSubstr("teacher                  macro F1 0.5000   accuracy 0.6000"));
  EXPECT_THAT(text, HasSubstr("student                  macro F1 0.6123   accuracy     -"));
  EXPECT_THAT(text, HasSubstr("  no               no        no         0.2500"));
  EXPECT_THAT(text, HasSubstr("  yes              yes       yes            -"));
}

TEST(AblationTable, MarksWhatACheckpointWasChosenBy) {
  const auto report = ParseJson(R"({"evaluation": {
    "static": [{"model": "student_before_finetune", "macro_f1": 0.5, "accuracy": 0.6, "optimistic": false},
               {"model": "student", "macro_f1": 0.7, "accuracy": 0.7, "optimistic": true}],
    "ablation": [{"semi_supervised": true, "temporal": true, "smoothing": true, "macro_f1": 0.25, "optimistic": true}]}})");
  const std::string text = SummaryText(*report);
  EXPECT_THAT(text, HasSubstr("macro F1 0.5000   accuracy 0.6000\n"));
  EXPECT_THAT(text, HasSubstr("macro F1 0.7000   accuracy 0.7000   optimistic: chosen by this figure\n"));
  EXPECT_THAT(text, HasSubstr("0.2500   optimistic: chosen by this figure\n"));
}

TEST(AblationTable, LeavesOutWhatIsMissing) {
  EXPECT_EQ(SummaryText(Json::object()), "");
  EXPECT_EQ(SummaryText(*ParseJson(R"({"evaluation": {"static": [], "ablation": [3]}})")).find("macro F1 0"),
            std::string::npos);
  EXPECT_EQ(SummaryText(Json(3)), "");
}

TEST(AblationTable, NamesAReportThatCannotBeRead) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "torn_report.json";
  std::ofstream(file) << "{\"evaluation\": ";
  const auto torn = ReadReport(file);
  ASSERT_FALSE(torn);
  EXPECT_THAT(std::string(torn.error().message()), HasSubstr(file.string()));
  EXPECT_EQ(ReadReport("/no/such/report.json").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::cli
