// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/event/slurm_record.h"
#include "tests/road/road_fixture.h"
#include "tests/support/slurm_cluster.h"

namespace ferment::road {
namespace {

/// `ferment run` whose trainers a real Slurm starts, two ranks of two cores: each has a node of its own.
class SlurmRoad : public RoadTest {
 protected:
  void SetUp() override {
    if (const std::string missing = testing::SlurmCluster::MissingProgram(); !missing.empty()) {
      GTEST_SKIP() << "needs Slurm and munge (tools/install_dependencies.sh installs them); not here: " << missing;
    }
    RoadTest::SetUp();
    cluster_ = testing::SlurmCluster::Start();
    ASSERT_NE(cluster_, nullptr);
    // All nodes are this machine.
    setenv("OMPI_MCA_oob_tcp_if_include", "lo", 1);
    setenv("OMPI_MCA_btl_tcp_if_include", "lo", 1);
  }
  void TearDown() override {
    cluster_.reset();
    RoadTest::TearDown();
  }
  std::vector<std::string> Command(const std::string& launcher, const std::filesystem::path& run_dir) const {
    return {(BinFolder() / "ferment").string(),
            "run",
            FERMENT_SOURCE_DIR "/tests/road/tiny.yaml",
            "--run-dir",
            run_dir.string(),
            "--set",
            "resources.launcher=" + launcher,
            "--set",
            "resources.ranks=2",
            "--set",
            "resources.threads_per_rank=2"};
  }
  std::unique_ptr<testing::SlurmCluster> cluster_;
};

TEST_F(SlurmRoad, TwoRanksOnTwoNodesComeToWhatOneMachineComesTo) {
  const Outcome there = Run(Command("slurm", run_dir()));
  ASSERT_EQ(there.exit_code, 0) << there.output;
  ExpectFinishedRun();
  EXPECT_TRUE(event::UnfinishedSlurmStarts(run_dir()).empty());
  EXPECT_EQ(cluster_->Queue(), "");
  const std::string nodes = cluster_->Queue("--states=all -o '%j %N'");
  EXPECT_NE(nodes.find("cotrain-1-ferment-"), std::string::npos) << nodes;
  EXPECT_NE(nodes.find("n[1-2]"), std::string::npos) << nodes;

  const Outcome here = Run(Command("local", folder() / "here"));
  ASSERT_EQ(here.exit_code, 0) << here.output;
  for (const char* job : {"teacher", "cotrain", "finetune", "temporal"}) {
    const Json one = ReadJson(run_dir() / "phases" / job / "result.json");
    const Json other = ReadJson(folder() / "here" / "phases" / job / "result.json");
    EXPECT_EQ(one["models"], other["models"]) << job;
    EXPECT_EQ(one["samples"], other["samples"]) << job;
  }
}

/// `ferment run` is killed with its coordinator; the job goes on, and the next `ferment run` with it.
TEST_F(SlurmRoad, AJobOutlivesItsCoordinatorAndTheNextOneGoesOnWithIt) {
  std::vector<std::string> command = Command("slurm", run_dir());
  command.insert(command.end(), {"--set", "teacher.steps=100"});
  event::ChildProcess first = Start(command);
  ASSERT_TRUE(WaitUntil(first, [&] { return HasCheckpoint("teacher"); }));
  first.SignalGroup(SIGKILL);
  if (const auto coordinator = PidOf("coordinator")) kill(*coordinator, SIGKILL);
  first.WaitFor(std::chrono::seconds(10));
  EXPECT_EQ(event::UnfinishedSlurmStarts(run_dir()).size(), 1U) << "it goes on";
  const Outcome second = Run(command);
  EXPECT_EQ(second.exit_code, 0) << second.output;
  ExpectFinishedRun();
  const std::string jobs = cluster_->Queue("--states=all -o %j");
  EXPECT_NE(jobs.find("teacher-1-ferment-"), std::string::npos) << jobs;
  EXPECT_EQ(jobs.find("teacher-2-ferment-"), std::string::npos) << jobs;
}

}  // namespace
}  // namespace ferment::road
