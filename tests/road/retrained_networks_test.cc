// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <fstream>
#include <sstream>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

/// Phases one after another without a coordinator, again and again in one folder.
class RetrainedNetworks : public RoadTest {
 protected:
  void SetUp() override {
    RoadTest::SetUp();
    const auto data = RenderSmallestSets();
    ASSERT_FALSE(HasFailure());
    std::ofstream(folder() / "spec.yaml")
        << SmallestSpec(data,
                        "teacher: {steps: 2, batch: 8}\nfinetune: {steps: 2, batch: 8}\n"
                        "cotrain: {steps: 2, batch: 4, mu: 1, threshold: 0.1, pseudo_label: {fr_sampling: uniform}}\n");
  }

  /// Runs the phase. Returns: empty where it was done already, the `why` of what was set aside where there was
  /// something, else "new".
  std::string Train(const std::string& phase, const std::vector<std::string>& overrides = {}) {
    std::vector<std::string> argv = {(BinFolder() / "ferment-trainer").string(),
                                     "--spec",
                                     (folder() / "spec.yaml").string(),
                                     "--run-dir",
                                     run_dir().string(),
                                     "--phase",
                                     phase};
    for (const std::string& value : overrides) argv.insert(argv.end(), {"--set", value});
    const Outcome outcome = Run(argv);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    if (outcome.output.find("job_is_done_already") != std::string::npos) return "";
    std::istringstream lines(outcome.output);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("earlier_job_set_aside") != std::string::npos) return ParseJson(line).value()["why"];
    }
    return "new";
  }

  static constexpr std::array kPhases = {"teacher", "cotrain", "finetune", "evaluate"};
};

TEST_F(RetrainedNetworks, AreLearntFromAndEvaluatedAnewAndNothingElseIs) {
  for (const char* phase : kPhases) EXPECT_EQ(Train(phase), "new") << phase;
  for (const char* phase : kPhases) EXPECT_EQ(Train(phase), "") << phase;
  const Json before = ReadJson(run_dir() / "phases/evaluate/result.json");

  std::vector<std::string> keys = {"cotrain.lr_student=0.5"};
  EXPECT_EQ(Train("teacher", keys), "");
  EXPECT_EQ(Train("cotrain", keys), "it was made from another spec");
  EXPECT_EQ(Train("finetune", keys), "what it was made from has changed: student");
  EXPECT_EQ(Train("evaluate", keys), "what it was made from has changed: student, student_before_finetune");
  EXPECT_NE(ReadJson(run_dir() / "phases/evaluate/result.json")["evaluation"], before["evaluation"]);
  EXPECT_EQ(ReadJson(run_dir() / "phases/evaluate.old-1/result.json"), before);
  for (const char* phase : kPhases) EXPECT_EQ(Train(phase, keys), "") << phase;

  keys.push_back("teacher.steps=3");
  EXPECT_EQ(Train("teacher", keys), "it was made from another spec");
  EXPECT_EQ(Train("cotrain", keys), "what it was made from has changed: teacher");
}

}  // namespace
}  // namespace ferment::road
