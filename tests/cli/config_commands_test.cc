// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "cli/command.h"
#include "common/base/json.h"

namespace ferment::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

Outcome Ferment(std::vector<std::string> words) {
  words.insert(words.begin(), "ferment");
  std::vector<const char*> line;
  for (const std::string& word : words) line.push_back(word.c_str());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.exit_code = RunCommandLine(static_cast<int>(line.size()), line.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

std::string Example(const std::string& name) { return std::string(FERMENT_SOURCE_DIR) + "/examples/" + name; }

TEST(ConfigCommands, SaysThatAValidSpecIsValid) {
  const Outcome outcome = Ferment({"config", "validate", Example("demo.yaml")});
  EXPECT_EQ(outcome.exit_code, exit_code::kOk);
  EXPECT_THAT(outcome.out, HasSubstr("demo.yaml: valid"));
}

TEST(ConfigCommands, PrintsEachFaultOnALineAndLeavesWith64) {
  const std::string file = ::testing::TempDir() + "/faulty_spec.yaml";
  std::ofstream(file) << "sed: 1\nteacher: {lr: -1}\n";
  const Outcome outcome = Ferment({"config", "validate", "--set", "cotrain.mu=0", file});
  EXPECT_EQ(outcome.exit_code, exit_code::kBadSpec);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, file + ":1:1: sed: unknown key; nearest: seed\n" + file +
                             ":2:15: teacher.lr: -1 is out of range; allowed: 0 to 100\n"
                             "--set cotrain.mu=0: cotrain.mu: 0 is out of range; allowed: 1 to 64\n");
}

TEST(ConfigCommands, TakesAFloorForTeachersWithoutAWord) {
  const Outcome outcome = Ferment({"config", "validate", Example("demo.yaml"), "--set", "labeling.min_accuracy=0.5"});
  EXPECT_EQ(outcome.exit_code, exit_code::kOk);
  EXPECT_EQ(outcome.err, "");
}

TEST(ConfigCommands, RefusesWhatIsNotInThisVersion) {
  const Outcome outcome =
      Ferment({"config", "validate", Example("demo.yaml"), "--set", "resources.launcher=kubernetes"});
  EXPECT_EQ(outcome.exit_code, exit_code::kBadSpec);
  EXPECT_THAT(outcome.err,
              StartsWith("--set resources.launcher=kubernetes: resources.launcher: \"kubernetes\" is not in this"));
}

TEST(ConfigCommands, RefusesAFlagWithoutAValue) {
  const Outcome outcome = Ferment({"config", "validate", Example("demo.yaml"), "--set", "seed"});
  EXPECT_EQ(outcome.exit_code, exit_code::kBadSpec);
  EXPECT_THAT(outcome.err, HasSubstr("expected KEY=VALUE"));
}

TEST(ConfigCommands, NeedsASpec) { EXPECT_EQ(Ferment({"config", "validate"}).exit_code, exit_code::kUsage); }

TEST(ConfigCommands, ExplainsEachValueWithItsSource) {
  const Outcome outcome =
      Ferment({"config", "explain", "--set", "seed=5", "--set", "classes=[Fear, Other]", Example("demo.yaml")});
  EXPECT_EQ(outcome.exit_code, exit_code::kOk) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("KEY "));
  EXPECT_THAT(outcome.out, HasSubstr("--set seed=5"));
  EXPECT_THAT(outcome.out, HasSubstr("Fear, Other"));
}

TEST(ConfigCommands, ExplainsAsJson) {
  const Outcome outcome = Ferment({"config", "explain", "--json", Example("demo.yaml")});
  const Result<Json> explained = ParseJson(outcome.out);
  ASSERT_TRUE(explained) << outcome.out;
  EXPECT_GT(explained->at("values").size(), 90U);
}

TEST(ConfigCommands, PrintsTheReference) {
  EXPECT_THAT(Ferment({"config", "reference"}).out,
              HasSubstr("| `teacher.lr` | 0.05 | 0 to 100 | peak learning rate |"));
}

}  // namespace
}  // namespace ferment::cli
