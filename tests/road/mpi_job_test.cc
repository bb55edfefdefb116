// SPDX-License-Identifier: Apache-2.0
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

/// What deploy/kubernetes/*-mpijob.yaml start, on this host: process 1 of a PID namespace, as in a pod, is told TERM.
class MpiJob : public RoadTest {
 protected:
  /// Returns: command and args of the first container of a role.
  static std::vector<std::string> CommandOf(const std::string& phase, const std::string& role) {
    const YAML::Node job = YAML::LoadFile(FERMENT_SOURCE_DIR "/deploy/kubernetes/" + phase + "-mpijob.yaml");
    const YAML::Node container = job["spec"]["mpiReplicaSpecs"][role]["template"]["spec"]["containers"][0];
    std::vector<std::string> argv;
    for (const char* part : {"command", "args"})
      for (const YAML::Node& word : container[part]) argv.push_back(word.as<std::string>());
    return argv;
  }
  static std::string Replaced(std::string text, const std::string& from, const std::string& to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
    return text;
  }

  /// Renders data, trains a teacher of two steps, and leaves a spec whose co-training ends by TERM alone.
  void PrepareRun() {
    const auto data = RenderSmallestSets();
    std::filesystem::create_directories(run_dir());
    std::ofstream(run_dir() / "spec.yaml") << SmallestSpec(
        data,
        "teacher: {steps: 2, batch: 4}\ncheckpoint: {every_steps: 100000}\n"
        "cotrain: {steps: 100000, batch: 4, mu: 1, lr_teacher: 0.001, lr_student: 0.001, feedback: {form: 'off'}, "
        "pseudo_label: {fr_sampling: uniform, source: online}}\n");
    const Outcome teacher =
        Run({(BinFolder() / "ferment-trainer").string(), "--spec", (run_dir() / "spec.yaml").string(), "--run-dir",
             run_dir().string(), "--phase", "teacher"});
    ASSERT_EQ(teacher.exit_code, 0) << teacher.output;
  }

  /// Runs a container's command, with TERM for its process 1 once steps are made. Returns: how it ended.
  Outcome TellTermAtWork(const std::vector<std::string>& argv) {
    std::vector<std::string> command = {"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"};
    command.insert(command.end(), argv.begin(), argv.end());
    const char* path = std::getenv("PATH");
    event::ChildProcess pod = Start(command, {{"PATH", BinFolder().string() + ":" + (path != nullptr ? path : "")},
                                              {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                              {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                              {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                                              {"OMPI_MCA_mpi_yield_when_idle", "1"}});
    EXPECT_TRUE(WaitUntil(pod, [&] {
      std::ifstream curve(run_dir() / "logs/curve-cotrain.jsonl");
      return std::count(std::istreambuf_iterator<char>(curve), {}, '\n') >= 2;
    }));
    int first = 0;
    std::ifstream("/proc/" + std::to_string(pod.pid()) + "/task/" + std::to_string(pod.pid()) + "/children") >> first;
    EXPECT_GT(first, 0);
    if (first > 0) kill(first, SIGTERM);
    return Wait(pod);
  }

  void ExpectStoppedWithACheckpoint(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, exit_code::kTerminated) << outcome.output;
    EXPECT_TRUE(HasCheckpoint("cotrain")) << outcome.output;
    EXPECT_NE(outcome.output.find("stopped"), std::string::npos) << outcome.output;
  }

  /// Runs a shell's text as process 1, with this folder's programs before all others.
  Outcome RunAsProcessOne(const std::string& script) {
    const char* path = std::getenv("PATH");
    return Run({"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script, "bash", "mpirun"},
               {{"PATH", folder().string() + ":" + (path != nullptr ? path : "")}});
  }
  bool MayMakeAPidNamespace() { return Run({"unshare", "--pid", "--fork", "--mount-proc", "true"}).exit_code == 0; }
  /// In mpirun's place: waits to be told to save. It is ready once it says so.
  void PutAnMpirun() const {
    const auto file = folder() / "mpirun";
    std::ofstream(file) << "#!/bin/bash\ntrap 'echo saved; exit 143' USR2\n: >" << (folder() / "ready").string()
                        << "\nfor ((i = 0; i < 500; ++i)); do sleep 0.02; done\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }
  static std::string Source(const std::string& path) {
    std::ifstream file(FERMENT_SOURCE_DIR "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(MpiJob, ManifestsOfTwoPhasesStartThemAlike) {
  for (const std::string role : {"Launcher", "Worker"}) {
    std::vector<std::string> cotrain = CommandOf("cotrain", role);
    for (std::string& word : cotrain) word = Replaced(word, "--phase cotrain", "--phase temporal");
    EXPECT_EQ(cotrain, CommandOf("temporal", role)) << role;
  }
}

TEST_F(MpiJob, TermOfTheLauncherLetsTheRanksSaveAndLeavesWith143) {
  if (!MayMakeAPidNamespace()) GTEST_SKIP() << "needs a PID namespace, which this machine or user may not make";
  PrepareRun();
  ASSERT_FALSE(HasFailure());
  std::vector<std::string> launcher = CommandOf("cotrain", "Launcher");
  for (std::string& word : launcher) word = Replaced(word, "/runs/NAME", run_dir().string());
  ExpectStoppedWithACheckpoint(TellTermAtWork(launcher));
}

TEST_F(MpiJob, TermOfTheLauncherIsHeardOnceMpirunRunsAndBeforeItNothingStarts) {
  if (!MayMakeAPidNamespace()) GTEST_SKIP() << "needs a PID namespace, which this machine or user may not make";
  PutAnMpirun();
  const std::string script = CommandOf("cotrain", "Launcher").at(2);
  const std::string ready = (folder() / "ready").string();
  const std::string at_once = Replaced(script, " &\n", " & until [[ -e " + ready + " ]]; do :; done; kill -TERM $$\n");
  ASSERT_NE(at_once, script);
  const Outcome told = RunAsProcessOne(at_once);
  EXPECT_EQ(told.exit_code, exit_code::kTerminated) << told.output;
  EXPECT_NE(told.output.find("saved"), std::string::npos) << told.output;

  std::filesystem::remove(ready);
  const Outcome early = RunAsProcessOne(Replaced(script, "mpirun -np", "kill -TERM $$; mpirun -np"));
  EXPECT_EQ(early.exit_code, exit_code::kTerminated) << early.output;
  EXPECT_FALSE(std::filesystem::exists(ready));
}

TEST_F(MpiJob, TermOfAWorkerBeforeItsSshdStartsNothing) {
  if (!MayMakeAPidNamespace()) GTEST_SKIP() << "needs a PID namespace, which this machine or user may not make";
  PutAnMpirun();
  const std::string script = Source("docker/worker_entrypoint.sh");
  const std::string early = Replaced(script, "\n\"$@\" &\n", "\nkill -TERM $$\n\"$@\" &\n");
  ASSERT_NE(early, script);
  const Outcome outcome = RunAsProcessOne(early);
  EXPECT_EQ(outcome.exit_code, exit_code::kTerminated) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "ready"));
}

// The MPI Operator puts `sshd -De` in the place of an image's entrypoint unless the manifest has a command of its own.
TEST_F(MpiJob, TermOfAWorkerLetsTheRanksSaveBeforeSshdEnds) {
  std::vector<std::string> worker = CommandOf("cotrain", "Worker");
  ASSERT_EQ(worker, (std::vector<std::string>{"worker-entrypoint", "/usr/sbin/sshd", "-De", "-f",
                                              "/home/mpiuser/.sshd_config"}));
  if (!MayMakeAPidNamespace()) GTEST_SKIP() << "needs a PID namespace, which this machine or user may not make";
  PrepareRun();
  ASSERT_FALSE(HasFailure());
  // In the place of sshd, and of the orted that came through it: a job, and what stays when it is stopped.
  const std::string run = run_dir().string();
  const std::string job = "mpirun -np 2 --bind-to none ferment-trainer --spec " + run + "/spec.yaml --run-dir " + run +
                          " --phase cotrain; [[ $? == 143 ]] && exec sleep 600";
  ExpectStoppedWithACheckpoint(TellTermAtWork({FERMENT_SOURCE_DIR "/docker/worker_entrypoint.sh", "bash", "-c", job}));
}

}  // namespace
}  // namespace ferment::road
