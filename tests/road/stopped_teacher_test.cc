// SPDX-License-Identifier: Apache-2.0
#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

class StoppedTeacher : public RoadTest {
 protected:
  void ExpectStopped(const Outcome& outcome, const std::string& floor) {
    EXPECT_EQ(outcome.exit_code, 65) << outcome.output;
    for (const std::string& part :
         {std::string("held-out labelled faces rightly: accuracy 0"), std::string("with 95 % confidence at most 0."),
          "below labeling.min_accuracy=" + floor, std::string("a stopped teacher stays stopped")}) {
      EXPECT_NE(outcome.output.find(part), std::string::npos) << part << "\n" << outcome.output;
    }
    EXPECT_FALSE(HasCheckpoint("cotrain"));
    EXPECT_FALSE(HasResult("cotrain"));
    const Json report = ReadJson(run_dir() / "report.json");
    EXPECT_EQ(report["status"], "failed");
    EXPECT_TRUE(report["pseudo_labels"].empty()) << "an index was written";
    for (const Json& phase : ReadJson(run_dir() / "phases.json")["phases"]) {
      if (phase["phase"] == "label") {
        EXPECT_EQ(phase["status"], "failed");
        EXPECT_GE(phase["canaries"]["checked"], 32);
      }
    }
    ExpectNoProcessLeft();
  }
};

TEST_F(StoppedTeacher, ThatMissesItsFloorEndsTheRunWith65AndStaysStopped) {
  const std::vector<std::string> command =
      RunCommand({"--set", "labeling.min_accuracy=0.9", "--set", "labeling.canary_share=0.5", "--set",
                  "data.fr.shard_records=64"});
  ExpectStopped(Run(command), "0.9");
  ExpectStopped(Run(command), "0.9");
}

}  // namespace
}  // namespace ferment::road
