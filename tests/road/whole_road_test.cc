// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>

#include "tests/road/predicted_again.h"
#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

class WholeRoad : public RoadTest {
 protected:
  std::string Predict(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {(BinFolder() / "ferment").string(), "predict", "--model",
                                     (run_dir() / "export").string(), "--csv"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const Outcome outcome = Run(argv);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return outcome.output;
  }

  /// `ferment predict` with the export gives what the evaluation gave, on faces and on videos.
  void ExpectPredictedAgain() {
    const Table faces = ReadTable(run_dir() / "evaluation/static_validation.csv");
    ASSERT_FALSE(faces.empty());
    ExpectSameFaces(ParseTable(Predict(Column(faces, "path"))), faces);

    const Table videos = ReadTable(run_dir() / "evaluation/video_validation.csv");
    ASSERT_FALSE(videos.empty());
    const auto frames = run_dir() / "synthetic/videos/cropped_aligned";
    for (const auto& [video, rows] : ByVideo(videos))
      ExpectSameFrames(ParseTable(Predict({(frames / video).string()})), rows);
  }

  /// The label sets are sound, and the first record comes out again bit for bit.
  void ExpectLabelsVerifiedAndReplayed() {
    const std::string ferment = (BinFolder() / "ferment").string();
    const std::vector<std::vector<std::string>> commands = {
        {"ls"}, {"show"}, {"verify"}, {"quarantine"}, {"replay", "1"}};
    for (const auto& words : commands) {
      std::vector<std::string> argv = {ferment, "labels", words[0], run_dir().string()};
      argv.insert(argv.end(), words.begin() + 1, words.end());
      const Outcome outcome = Run(argv);
      EXPECT_EQ(outcome.exit_code, 0) << words[0] << ": " << outcome.output;
    }
  }
};

TEST_F(WholeRoad, OneSpecInAReportOutPredictedAgainAndASecondCallOnlySaysSo) {
  const Outcome first = Run(RunCommand());
  ASSERT_EQ(first.exit_code, 0);
  ExpectFinishedRun();
  ExpectNoProcessLeft();
  ExpectPredictedAgain();
  ExpectLabelsVerifiedAndReplayed();
  const auto written = std::filesystem::last_write_time(run_dir() / "phases/teacher/result.json");
  const Outcome second = Run(RunCommand());
  EXPECT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(std::filesystem::last_write_time(run_dir() / "phases/teacher/result.json"), written);
}

/// As some supervisors start what they start.
TEST_F(WholeRoad, WhereTheEndOfChildrenIsIgnoredAndInputIsClosedARunStillEnds) {
  std::vector<std::string> command = {"/bin/sh", "-c", "trap '' CHLD; exec \"$@\" <&-", "sh"};
  for (const std::string& word : RunCommand()) command.push_back(word);
  EXPECT_EQ(Run(command).exit_code, 0);
  ExpectFinishedRun();
  ExpectNoProcessLeft();
}

TEST_F(WholeRoad, TwoRanksAndTwoRoundsReachTheReport) {
  const Outcome outcome = Run(RunCommand({"--set", "resources.ranks=2", "--set", "cotrain.rounds=2", "--set",
                                          "labeling.canary_share=0.25", "--set", "labeling.min_accuracy=0.01"}));
  ASSERT_EQ(outcome.exit_code, 0);
  const Json report = ReadJson(run_dir() / "report.json");
  EXPECT_EQ(report["phases"].size(), 9U);
  EXPECT_EQ(report["pseudo_labels"].size(), 2U);
  int correct = 0;  // of both rounds: a teacher of a few steps may name none rightly
  for (const Json& labels : report["pseudo_labels"]) {
    EXPECT_EQ(labels["canaries"]["checked"], 48);
    correct += labels["canaries"]["correct"].get<int>();
  }
  EXPECT_GT(correct, 0);
}

TEST_F(WholeRoad, TheBestCheckpointsAreReportedAndMarkedOptimistic) {
  const Outcome outcome = Run(RunCommand({"--set", "evaluate.select=best", "--set", "finetune.steps=50", "--set",
                                          "temporal.steps=50", "--set", "checkpoint.every_steps=20"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("optimistic: chosen by this figure"), std::string::npos) << outcome.output;
  const Json report = ReadJson(run_dir() / "report.json");
  const Json finetune = ReadJson(run_dir() / "phases/finetune/result.json")["metrics"];
  for (const Json& row : report["evaluation"]["static"]) {
    EXPECT_EQ(row["optimistic"], row["model"] != "student_before_finetune") << row;
    if (row["model"] == "student") {
      EXPECT_EQ(row["macro_f1"], finetune["macro_f1"]);
    }
    if (row["model"] == "teacher") {
      EXPECT_EQ(row["macro_f1"], finetune["macro_f1_baseline"]);
    }
  }
  const Json temporal = ReadJson(run_dir() / "phases/temporal/result.json")["metrics"];
  for (const Json& row : report["evaluation"]["video"]) {
    EXPECT_EQ(row["optimistic"], true);
    if (row["smoothing_half_width"] == 0) {
      EXPECT_EQ(row["macro_f1"],
                temporal["macro_f1_" + row["features"].get<std::string>() + "_" + row["temporal"].get<std::string>()]);
    }
  }
  ExpectPredictedAgain();
}

TEST_F(WholeRoad, TwoGroupsOfRanksWithLateFeedbackReachTheReport) {
  const Outcome outcome = Run(RunCommand({"--set", "resources.ranks=3", "--set", "cotrain.placement=split", "--set",
                                          "cotrain.placement_ranks.teacher=2", "--set", "cotrain.feedback.max_lag=1"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  ExpectFinishedRun();
}

TEST_F(WholeRoad, ALabelerKilledInMidShardLosesNothing) {
  event::ChildProcess run = Start(RunCommand({"--set", "data.fr.shard_records=16"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return HasResult("teacher"); }));
  const auto labeler = PidOf("labeler");
  ASSERT_TRUE(labeler);
  kill(*labeler, SIGKILL);
  EXPECT_EQ(Wait(run).exit_code, 0);
  ExpectFinishedRun();
}

TEST_F(WholeRoad, TheCoordinatorKilledInMidRunComesBackAndLosesNothing) {
  event::ChildProcess run = Start(RunCommand());
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("cotrain"); }));
  const auto coordinator = PidOf("coordinator");
  ASSERT_TRUE(coordinator);
  kill(*coordinator, SIGKILL);
  EXPECT_EQ(Wait(run).exit_code, 0);
  ExpectFinishedRun();
  ExpectNoProcessLeft();
}

TEST_F(WholeRoad, ATrainerKilledInMidPhaseIsStartedAgainFromItsCheckpoint) {
  event::ChildProcess run = Start(RunCommand({"--set", "cotrain.steps=40"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("cotrain"); }));
  const auto trainer = PidOf("trainer");
  ASSERT_TRUE(trainer);
  kill(-*trainer, SIGKILL);
  EXPECT_EQ(Wait(run).exit_code, 0);
  ExpectFinishedRun();
  for (const Json& phase : ReadJson(run_dir() / "report.json")["phases"]) {
    if (phase["phase"] == "cotrain") {
      EXPECT_EQ(phase["attempts"], 2);
    }
  }
}

// Nobody of ours sends it: docs/decisions/0012-how-long-mpirun-waits.md.
TEST_F(WholeRoad, ATermToMpirunCostsStepsAndNothingElse) {
  event::ChildProcess run = Start(RunCommand({"--set", "cotrain.steps=30"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("cotrain") && PidOf("trainer"); }));
  kill(*PidOf("trainer"), SIGTERM);
  EXPECT_EQ(Wait(run).exit_code, 0);
  ExpectFinishedRun();
  for (const Json& phase : ReadJson(run_dir() / "report.json")["phases"]) {
    if (phase["phase"] == "cotrain") {
      EXPECT_EQ(phase["attempts"], 2);
    }
  }
}

TEST_F(WholeRoad, ARunKilledAsAWholeIsContinuedByTheSameCommand) {
  event::ChildProcess run = Start(RunCommand());
  ASSERT_TRUE(WaitUntil(run, [&] { return HasCheckpoint("cotrain"); }));
  run.Signal(SIGKILL);
  (void)Wait(run);
  const auto teacher_written = std::filesystem::last_write_time(run_dir() / "phases/teacher/result.json");
  EXPECT_EQ(Run(RunCommand()).exit_code, 0);
  ExpectFinishedRun();
  ExpectNoProcessLeft();
  EXPECT_EQ(std::filesystem::last_write_time(run_dir() / "phases/teacher/result.json"), teacher_written);
}

class InterruptedAt : public RoadTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(InterruptedAt, CtrlCDrainsAndTheSameCommandContinues) {
  event::ChildProcess run = Start(RunCommand({"--set", "cotrain.steps=30", "--set", "teacher.steps=30"}));
  const std::string phase = GetParam();
  ASSERT_TRUE(WaitUntil(
      run, [&] { return phase == "label" ? HasResult("teacher") : HasCheckpoint(phase) || HasResult(phase); }));
  run.Signal(SIGINT);
  EXPECT_EQ(Wait(run).exit_code, 130);
  ExpectNoProcessLeft();
  EXPECT_EQ(Run(RunCommand({"--set", "cotrain.steps=30", "--set", "teacher.steps=30"})).exit_code, 0);
  ExpectFinishedRun();
}

INSTANTIATE_TEST_SUITE_P(Phases, InterruptedAt,
                         ::testing::Values("teacher", "label", "cotrain", "finetune", "temporal"));

TEST_F(WholeRoad, ASecondRunOnALiveFolderLeavesWith202) {
  event::ChildProcess run = Start(RunCommand({"--set", "cotrain.steps=30"}));
  ASSERT_TRUE(WaitUntil(run, [&] { return PidOf("coordinator").has_value(); }));
  auto second = event::ChildProcess::Start(
      {.argv = RunCommand({"--set", "cotrain.steps=30"}), .output = folder() / "second.txt"});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->WaitFor(std::chrono::seconds(30)), 202);
  run.Signal(SIGINT);
  EXPECT_EQ(Wait(run).exit_code, 130);
}

}  // namespace
}  // namespace ferment::road
