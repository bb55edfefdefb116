// SPDX-License-Identifier: Apache-2.0
#include "common/config/slurm_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

namespace ferment {
namespace {

using testing::HasSubstr;
using testing::Not;

SlurmJob Job() {
  return {.name = "teacher-1-ferment-01",
          .command = {{"/opt/mpirun", "-np", "3", "it's"}, {{"OMP_NUM_THREADS", "4"}}},
          .ranks = 3,
          .threads_per_rank = 4,
          .run_dir = "/runs/100% mine",
          .log_file = "/runs/100% mine/logs/teacher.jsonl",
          .record = "/runs/100% mine/processes/slurm/teacher-1-ferment-01"};
}

TEST(SlurmScript, AsksForRanksCoresAndASignalBeforeTheEnd) {
  const std::string text = SlurmScript(Job());
  EXPECT_TRUE(text.starts_with("#!/bin/bash\n#SBATCH "));
  for (const char* line :
       {"#SBATCH --job-name=teacher-1-ferment-01\n", "#SBATCH --ntasks=3\n", "#SBATCH --cpus-per-task=4\n",
        "#SBATCH --chdir='/runs/100% mine'\n", "#SBATCH --output='/runs/100%% mine/logs/teacher.jsonl'\n",
        "#SBATCH --signal=B:USR2@120\n", "#SBATCH --no-requeue\n", "#SBATCH --dependency=singleton\n",
        "OMP_NUM_THREADS=4 /opt/mpirun -np 3 'it'\\''s' &\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("gpus")));
  EXPECT_THAT(text, Not(HasSubstr("scontrol requeue")));
  SlurmJob on_gpus = Job();
  on_gpus.gpus = true;
  EXPECT_THAT(SlurmScript(on_gpus), HasSubstr("#SBATCH --gpus-per-task=1\n"));
}

TEST(SlurmScript, APersonsMayRunAgain) {
  SlurmJob job = Job();
  job.record.clear();
  const std::string text = SlurmScript(job);
  EXPECT_THAT(text, HasSubstr("#SBATCH --requeue\n"));
  EXPECT_THAT(text, HasSubstr("scontrol requeue"));
  EXPECT_THAT(text, Not(HasSubstr("noclobber")));
  EXPECT_THAT(text, Not(HasSubstr("singleton")));
}

/// The script without Slurm: a shell runs it, and the test reads what it leaves.
class SlurmScriptRunTest : public testing::Test {
 protected:
  SlurmScriptRunTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "start.sh").flush();
  }
  int Run(const std::string& lines) const {
    SlurmJob job = Job();
    job.record = folder_ / "start";
    job.command = {{"bash", "-c", lines}, {}};
    job.least_run = std::chrono::seconds(0);
    std::ofstream(folder_ / "script") << SlurmScript(job);
    return RunAgain();
  }
  int RunAgain() const {
    const int status = system(
        ("SLURM_JOB_ID=12 bash '" + (folder_ / "script").string() + "' >'" + (folder_ / "log").string() + "' 2>&1")
            .c_str());
    return WEXITSTATUS(status);
  }
  std::string Text(const std::string& name) const {
    std::ifstream stream(folder_ / name);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }
  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / "slurm script";
};

TEST_F(SlurmScriptRunTest, LeavesItsNumberAndItsExitCode) {
  EXPECT_EQ(Run("exit 65"), 65);
  EXPECT_EQ(Text("start.begin"), "12\n");
  EXPECT_EQ(Text("start.end"), "65\n");
}

TEST_F(SlurmScriptRunTest, DoesNothingASecondTime) {
  EXPECT_EQ(Run("echo x >>'" + (folder_ / "ran").string() + "'; exit 65"), 65);
  EXPECT_EQ(RunAgain(), 202);
  EXPECT_EQ(Text("ran"), "x\n");
  EXPECT_EQ(Text("start.end"), "65\n");
  EXPECT_THAT(Text("log"), HasSubstr("was begun, or withdrawn, before"));
}

TEST_F(SlurmScriptRunTest, SaysSoWhereItsFolderIsNotThere) {
  EXPECT_EQ(Run("exit 0"), 0);
  std::filesystem::rename(folder_ / "script", folder_ / "old");
  std::string text = Text("old");
  const std::string record = (folder_ / "start").string();
  text.replace(text.find(record), record.size(), "/not/there");
  std::ofstream(folder_ / "script") << text;
  EXPECT_EQ(RunAgain(), 73);
  EXPECT_THAT(Text("log"), HasSubstr("the run folder must be on a file system that all nodes share"));
}

TEST_F(SlurmScriptRunTest, AMissingProgramIsNamed) {
  SlurmJob job = Job();
  job.record = folder_ / "start";
  job.command = {{"no-such-mpirun"}, {}};
  std::ofstream(folder_ / "script") << SlurmScript(job);
  EXPECT_EQ(RunAgain(), 69);
  EXPECT_THAT(Text("log"), HasSubstr("no-such-mpirun"));
  EXPECT_EQ(Text("start.end"), "69\n");
}

TEST_F(SlurmScriptRunTest, HandsSignalsOnAndWaitsForTheEnd) {
  // $PPID of what stands in for mpirun is the batch shell.
  EXPECT_EQ(Run("trap 'echo on; kill -USR2 $PPID' USR1; trap 'sleep 0.3; exit 143' USR2; kill -USR1 $PPID;"
                "while :; do sleep 0.02; done"),
            143);
  EXPECT_EQ(Text("log"), "on\n");
  EXPECT_EQ(Text("start.end"), "143 asked\n");
}

TEST_F(SlurmScriptRunTest, WhoIsAskedToLeaveAndCannotHasFailed) {
  EXPECT_EQ(Run("trap 'exit 65' USR2; kill -USR2 $PPID; while :; do sleep 0.02; done"), 65);
  EXPECT_EQ(Text("start.end"), "65\n");
}

}  // namespace
}  // namespace ferment
