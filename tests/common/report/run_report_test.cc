// SPDX-License-Identifier: Apache-2.0
#include "common/report/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/base/json.h"
#include "common/config/run_layout.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_index.h"
#include "common/report/evaluation_tables.h"

namespace ferment::report {
namespace {

using ::testing::HasSubstr;

class RunReport : public ::testing::Test {
 protected:
  RunReport() {
    const ::testing::TestInfo* info = ::testing::UnitTest::GetInstance()->current_test_info();
    run_dir_ = std::filesystem::path(::testing::TempDir()) / (std::string("run_report_") + info->name());
    std::filesystem::remove_all(run_dir_);
    RunSpec spec = DefaultSpec();
    spec.set_name("small");
    spec.set_seed(3);
    Write("spec.yaml", SpecToYaml(spec));
  }

  void Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = run_dir_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }

  Json Report() const {
    std::ifstream file(run_dir_ / "report.json");
    return *ParseJson(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  std::filesystem::path run_dir_;
};

TEST_F(RunReport, RefusesAFolderWithoutASpec) {
  EXPECT_EQ(WriteReport(run_dir_ / "nowhere").code(), StatusCode::kNotFound);
}

TEST_F(RunReport, WhatCannotBeReadEndsNobody) {
  Write("phases.json", R"({"status":"failed","seed":3,"phases":[{"job_id":"teacher","phase":"teacher","round":0,
    "status":"failed","attempts":1,"seconds":1,"cpu_seconds":1,"peak_rss_bytes":1,"samples":1,"failure":"why"}]})");
  for (const char* name : {"logs/curve-teacher.jsonl", "phases/teacher/result.json", "phases/evaluate/result.json",
                           "evaluation/video_validation.csv", "evaluation/static_validation.csv"})
    std::filesystem::create_directories(run_dir_ / name);
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  EXPECT_EQ(Report()["status"], "failed");
}

TEST_F(RunReport, SaysWhyARunFailed) {
  Write("phases.json", R"({"status":"failed","seed":3,"phases":[{"job_id":"teacher","phase":"teacher","round":0,
    "status":"failed","attempts":2,"seconds":1.5,"cpu_seconds":2.5,"peak_rss_bytes":1000,"samples":64,
    "failure":"class Fear has no sample"}]})");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  const Json report = Report();
  EXPECT_EQ(report["schema"], "ferment.report/v1");
  EXPECT_EQ(report["status"], "failed");
  EXPECT_EQ(report["seed"], 3);
  EXPECT_EQ(report["failure"], "teacher: class Fear has no sample");
  EXPECT_EQ(report["phases"][0]["attempts"], 2);
  EXPECT_TRUE(report["evaluation"]["static"].empty());
}

TEST_F(RunReport, SaysThatARoundWasLeftOutAndThatTheRunSucceededAllTheSame) {
  Write("phases.json", R"({"status":"succeeded","seed":3,"phases":[
    {"job_id":"label-1","phase":"label","round":1,"status":"skipped","failure":"left out: teacher abc: 3 of 40"},
    {"job_id":"cotrain-1","phase":"cotrain","round":1,"status":"skipped","failure":"left out: teacher abc: 3 of 40"}]})");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  const Json report = Report();
  EXPECT_EQ(report["status"], "succeeded");
  EXPECT_TRUE(report["failure"].is_null());
  EXPECT_EQ(report["phases"][0]["failure"], "left out: teacher abc: 3 of 40");
  std::ifstream page(run_dir_ / "report.html");
  const std::string html{std::istreambuf_iterator<char>(page), {}};
  EXPECT_THAT(html, HasSubstr("label-1: left out: teacher abc: 3 of 40"));
  EXPECT_THAT(html, testing::Not(HasSubstr("cotrain-1: left out")));
}

TEST_F(RunReport, PassesTheEvaluationOnUnchanged) {
  const std::string evaluation = R"({"static":[{"model":"student","dataset":"fer","macro_f1":0.1234567890123456,
    "per_class_f1":[0.5,0.25],"accuracy":0.5,"confusion":[[3,1],[2,4]],"ece":0.01,"optimistic":false}],
    "video":[{"features":"student","temporal":"gru","smoothing_half_width":25,"macro_f1":0.5,"per_class_f1":[0.5,0.5],
    "optimistic":true}],
    "ablation":[{"semi_supervised":true,"temporal":false,"smoothing":true,"macro_f1":0.25,"optimistic":true}]})";
  Write("phases/evaluate/result.json", R"({"job_id":"evaluate","evaluation":)" + evaluation + "}");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  EXPECT_EQ(Report()["evaluation"].dump(), ParseJson(evaluation)->dump());
}

TEST_F(RunReport, SaysWhichRowsWereLeftOut) {
  const std::string faces =
      R"({"train":{"rows":1291,"faces":90,"left_out":{"class-not-in-run: Fear":1200,"image-missing":1}},
    "validation":{"rows":50,"faces":50,"left_out":{}}})";
  Write("phases/evaluate/result.json",
        R"({"job_id":"evaluate","evaluation":{"static":[{"model":"student"}],"faces":)" + faces + "}}");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  EXPECT_EQ(Report()["evaluation"]["faces"], *ParseJson(faces));
  std::ifstream page(run_dir_ / "report.html");
  const std::string html{std::istreambuf_iterator<char>(page), {}};
  EXPECT_THAT(html, HasSubstr("Of 1,291 train rows left out: class-not-in-run: Fear 1,200, image-missing 1."));
  EXPECT_THAT(html, testing::Not(HasSubstr("validation rows left out")));
}

TEST_F(RunReport, NamesATornFile) {
  Write("phases.json", "{\"status\": ");
  const Status status = WriteReport(run_dir_);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("phases.json"));
}

dataset::LabelSet ThreeLabels(const std::string& teacher) {
  dataset::LabelSet set;
  set.origin = {.dataset = "pack", .teacher = teacher, .label_config = std::string(64, 'c')};
  const RunSpec spec = DefaultSpec();
  set.classes.assign(spec.classes().begin(), spec.classes().end());
  set.key = {1, 2, 3};
  set.label = {4, 0, dataset::kNoLabel};
  set.confidence_half = {0x3A00, 0x3400, 0};  // 0.75, 0.25
  set.probabilities_half.assign(3 * set.classes.size(), 0);
  set.probabilities_half[4] = 0x3A00;
  set.probabilities_half[set.classes.size()] = 0x3400;
  set.status = {dataset::LabelStatus::kLabelled, dataset::LabelStatus::kAbstained, dataset::LabelStatus::kQuarantined};
  set.reasons = {{"bad-magic", 1}};
  return set;
}

TEST_F(RunReport, CountsTheLabelSetsOfTheTeacher) {
  const std::string teacher(64, 'a');
  RunSpec spec = DefaultSpec();
  spec.set_name("small");
  spec.mutable_data()->mutable_fr()->set_path((run_dir_ / "pack").string());
  FillDefaults(spec);
  spec.mutable_labeling()->set_truth((run_dir_ / "truth.csv").string());
  Write("spec.yaml", SpecToYaml(spec));
  Write("truth.csv", "key,class\n1,4\n2,0\n3,0\n");
  Write("phases/teacher/result.json", R"({"models":[{"role":"teacher","file":"x","sha256":")" + teacher + "\"}]}");
  const RunLayout layout(run_dir_);
  const auto folder = layout.LabelSets("pack", teacher, std::string(64, 'c'));
  const auto file = dataset::WriteLabelSet(folder, ThreeLabels(teacher));
  ASSERT_TRUE(file) << file.error().ToString();
  ASSERT_TRUE(dataset::CommitToLabelIndex(folder, 0, *file));

  Write("phases.json", R"({"status":"succeeded","seed":3,"phases":[
    {"job_id":"label","phase":"label","round":0,"status":"succeeded","canaries":{"checked":40,"correct":31}}]})");

  const Status status = WriteReport(run_dir_);
  ASSERT_TRUE(status.ok()) << status.ToString();
  const Json report = Report();
  ASSERT_EQ(report["pseudo_labels"].size(), 1U);
  EXPECT_EQ(report["pseudo_labels"][0]["canaries"], Json({{"checked", 40}, {"correct", 31}}));
  const Json& row = report["pseudo_labels"][0];
  EXPECT_EQ(row["teacher"], teacher);
  EXPECT_EQ(row["records"], 3);
  EXPECT_EQ(row["labelled"], 1);
  EXPECT_EQ(row["abstained"], 1);
  EXPECT_EQ(row["quarantined"], 1);
  EXPECT_EQ(row["class_histogram"].dump(), "[0,0,0,0,1,0,0,0]");
  EXPECT_EQ(row["accuracy"], 1.0);
  EXPECT_EQ(row["coverage"], 0.5);
}

TEST(EvaluationTables, TakeTheVideoWithMostChanges) {
  const auto timeline = TimelineOf(
      "video,frame,label,prediction_static,prediction_temporal,prediction\n"
      "a,b,1,0,0,0,0\na,b,2,0,1,0,0\nc,1,0,4,4,4\nc,2,4,4,4,4\nc,3,-1,0,4,4\nc,4,x,4,4,4\n");
  ASSERT_TRUE(timeline.has_value());
  EXPECT_EQ(timeline->video, "c");
  EXPECT_THAT(timeline->truth, ::testing::ElementsAre(0, 4, -1));
  EXPECT_FALSE(TimelineOf("video,frame\n").has_value());
}

TEST(EvaluationTables, CountHowSureAndHowRight) {
  const auto bins = ReliabilityOf("path,label,prediction,p_A,p_B\nx,y.jpg,0,0,0.9,0.1\nz.jpg,1,0,0.9,0.1\ntorn,1\n");
  ASSERT_EQ(bins.size(), 15U);
  EXPECT_EQ(bins[13].count, 2);
  EXPECT_DOUBLE_EQ(bins[13].accuracy, 0.5);
  EXPECT_NEAR(bins[13].confidence, 0.9, 1e-12);
  EXPECT_TRUE(ReliabilityOf("path,label,prediction,p_A,p_B\nx,0,18446744073709551615,0.9,0.1\nx,0,0,nan,0.1\n").empty())
      << "no such class, no such probability";
}

TEST_F(RunReport, IsTheSameTwice) {
  Write("phases.json",
        R"({"status":"done","seed":1,"phases":[{"job_id":"cotrain","phase":"cotrain","status":"done"}]})");
  Write("logs/curve-cotrain.jsonl", "{\"step\":0,\"loss\":2}\n{\"step\":10,\"loss\":1}\n{\"step\":20,\"lo");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  const auto size = std::filesystem::file_size(run_dir_ / "report.html");
  ASSERT_TRUE(WriteReport(run_dir_).ok());
  EXPECT_EQ(std::filesystem::file_size(run_dir_ / "report.html"), size);
}

}  // namespace
}  // namespace ferment::report
