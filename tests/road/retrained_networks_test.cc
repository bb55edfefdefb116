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

  Outcome RunPhase(const std::string& phase, const std::vector<std::string>& overrides) {
    std::vector<std::string> argv = {(BinFolder() / "ferment-trainer").string(),
                                     "--spec",
                                     (folder() / "spec.yaml").string(),
                                     "--run-dir",
                                     run_dir().string(),
                                     "--phase",
                                     phase};
    for (const std::string& value : overrides) argv.insert(argv.end(), {"--set", value});
    return Run(argv);
  }
  /// Runs the phase. Returns: empty where it was done already, the `why` of what was set aside where there was
  /// something, else "new".
  std::string Train(const std::string& phase, const std::vector<std::string>& overrides = {}) {
    const Outcome outcome = RunPhase(phase, overrides);
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

TEST_F(RetrainedNetworks, AFileThatIsReplacedUnderItsNameIsAnotherOne) {
  const auto weights = folder() / "weights.safetensors";
  const auto take_what_was_published = [&] {
    std::filesystem::copy_file(run_dir() / "phases/teacher/models/teacher.safetensors", weights,
                               std::filesystem::copy_options::overwrite_existing);
  };
  EXPECT_EQ(Train("teacher"), "new");
  take_what_was_published();
  const std::vector<std::string> keys = {"model.init=" + weights.string()};
  EXPECT_EQ(Train("teacher", keys), "it was made from another spec");
  EXPECT_EQ(Train("teacher", keys), "");
  take_what_was_published();
  EXPECT_EQ(Train("teacher", keys), "what it was made from has changed: model.init");
  const auto list = folder() / "data/fer/train.csv";
  std::string row;
  std::ifstream rows(list);
  for (std::string line; std::getline(rows, line);) row = line;
  std::ofstream(list, std::ios::app) << row << "\n";
  EXPECT_EQ(Train("teacher", keys), "what it was made from has changed: data.fer.train");
  EXPECT_EQ(Train("teacher", keys), "");
}

TEST_F(RetrainedNetworks, LabelSetsAreThoseOfTheSpecOrNone) {
  const auto label = [this](const std::string& labeling) {
    std::ofstream(run_dir() / "spec.yaml") << SmallestSpec(folder() / "data", "labeling: " + labeling + "\n");
    const Outcome outcome =
        Run({(BinFolder() / "ferment-labeler").string(), "--offline", "--run-dir", run_dir().string()});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  };
  std::vector<std::string> keys = {"cotrain.pseudo_label.source=offline", "labeling.threshold=0"};
  EXPECT_EQ(Train("teacher"), "new");
  label("{threshold: 0}");
  EXPECT_EQ(Train("cotrain", keys), "new");
  EXPECT_EQ(Train("cotrain", keys), "");

  keys[1] = "labeling.threshold=0.01";
  const Outcome refused = RunPhase("cotrain", keys);
  EXPECT_EQ(refused.exit_code, exit_code::kBadData);
  EXPECT_NE(refused.output.find("found=" + (run_dir() / "labels/fr").string()), std::string::npos) << refused.output;
  EXPECT_FALSE(std::filesystem::exists(run_dir() / "phases/cotrain.old-1")) << "nobody's work is moved for nothing";
  label("{threshold: 0.01}");
  EXPECT_EQ(Train("cotrain", keys), "what it was made from has changed: label_config, labeling");
  EXPECT_EQ(Train("cotrain", keys), "");
  keys[1] = "labeling.threshold=0";
  EXPECT_EQ(Train("cotrain", keys), "what it was made from has changed: label_config, labeling");
}

}  // namespace
}  // namespace ferment::road
