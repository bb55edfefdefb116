// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "tests/road/road_fixture.h"
#include "tests/support/tensorboard_reader.h"

namespace ferment::road {
namespace {

/// Of a trace, in microseconds.
struct Span {
  double begin = 0;
  double end = 0;

  bool Holds(double moment) const { return begin <= moment && moment < end; }
};

/// ferment-trainer under mpirun, without a coordinator.
class TrainerUnderMpi : public RoadTest {
 protected:
  void SetUp() override {
    RoadTest::SetUp();
    const auto data = RenderSmallestSets();
    ASSERT_FALSE(HasFailure());
    std::ofstream(folder() / "spec.yaml")
        << SmallestSpec(data,
                        "cotrain: {batch: 4, mu: 1, threshold: 0.1, lr_teacher: 0.001, lr_student: 0.001}\n"
                        "checkpoint: {every_steps: 100000}\n");
  }

  std::vector<std::string> Trainer(const std::filesystem::path& run, int steps, int ranks = 2) const {
    return {"mpirun",
            "-np",
            std::to_string(ranks),
            "--bind-to",
            "none",
            "--oversubscribe",
            (BinFolder() / "ferment-trainer").string(),
            "--spec",
            (folder() / "spec.yaml").string(),
            "--run-dir",
            run.string(),
            "--phase",
            "cotrain",
            "--from-init",
            "--set",
            "cotrain.steps=" + std::to_string(steps)};
  }
  static std::vector<std::pair<std::string, std::string>> Environment() {
    return {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
            {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
            {"OMPI_MCA_mpi_yield_when_idle", "1"},
            // As the launcher says it (docs/decisions/0012).
            {"OMPI_MCA_odls_base_sigkill_timeout", "2"}};
  }

  static int CurveLines(const std::filesystem::path& run) {
    std::ifstream curve(run / "logs/curve-cotrain.jsonl");
    return static_cast<int>(std::count(std::istreambuf_iterator<char>(curve), {}, '\n'));
  }
  /// Returns: steps of the whole checkpoints, ascending.
  static std::vector<int> Checkpoints(const std::filesystem::path& run) {
    std::vector<int> steps;
    std::error_code absent;
    for (const auto& entry : std::filesystem::directory_iterator(run / "phases/cotrain/checkpoints", absent)) {
      if (std::filesystem::exists(entry.path() / "MANIFEST.json"))
        steps.push_back(std::stoi(entry.path().filename().string().substr(5)));
    }
    std::ranges::sort(steps);
    return steps;
  }
  static bool Finished(const std::filesystem::path& run) {
    return std::filesystem::exists(run / "phases/cotrain/result.json");
  }
  /// Returns: a process of the trainer's program that `parent` has started; 0 where there is none.
  static int ChildOf(int parent) {
    std::error_code gone;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(parent) + "/task", gone)) {
      std::ifstream children(thread.path() / "children");
      for (int child = 0; children >> child;) {
        const auto program = std::filesystem::read_symlink("/proc/" + std::to_string(child) + "/exe", gone);
        if (program.filename() == "ferment-trainer") return child;
      }
    }
    return 0;
  }

  /// Starts a job and has `interrupt` stop it in its midst. One that was too fast is started again with more steps.
  /// Returns: the number of steps of the one that was stopped.
  int StopInItsMidst(const std::filesystem::path& run, const std::function<void(event::ChildProcess&)>& interrupt) {
    for (int steps = 80; steps < 100'000; steps *= 4) {
      std::filesystem::remove_all(run);
      event::ChildProcess mpirun = Start(Trainer(run, steps), Environment());
      EXPECT_TRUE(WaitUntil(mpirun, [&] { return CurveLines(run) >= 2; }));
      interrupt(mpirun);
      const Outcome outcome = Wait(mpirun);
      if (outcome.exit_code == 0) continue;
      EXPECT_EQ(outcome.exit_code, 143) << outcome.output;
      EXPECT_FALSE(Finished(run));
      EXPECT_FALSE(Checkpoints(run).empty()) << outcome.output;
      return steps;
    }
    ADD_FAILURE() << "no job was slow enough to be stopped";
    return 0;
  }

  void ExpectTheBitsOfAnUninterruptedJob(const std::filesystem::path& run, int steps) {
    const int saved = Checkpoints(run).back();
    const Outcome resumed = Run(Trainer(run, steps), Environment());
    ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
    EXPECT_NE(resumed.output.find("resumed"), std::string::npos) << resumed.output;
    EXPECT_NE(resumed.output.find(std::to_string(saved)), std::string::npos) << resumed.output;
    const Outcome whole = Run(Trainer(folder() / "whole", steps), Environment());
    ASSERT_EQ(whole.exit_code, 0) << whole.output;
    const Json one = ReadJson(run / "phases/cotrain/result.json");
    const Json other = ReadJson(folder() / "whole/phases/cotrain/result.json");
    EXPECT_EQ(one["models"], other["models"]);
    EXPECT_EQ(one["samples"], other["samples"]);
    // Two processes, and one.
    ExpectTensorboardToHoldTheCurve(run, 2);
    ExpectTensorboardToHoldTheCurve(folder() / "whole", 1);
  }
  static void ExpectTensorboardToHoldTheCurve(const std::filesystem::path& run, std::size_t files) {
    const auto events = run / "tensorboard/cotrain";
    const testing::Scalars shown = testing::ReadTensorboard(events);
    EXPECT_FALSE(shown.empty());
    EXPECT_EQ(shown, testing::ScalarsOfCurve(run / "logs/curve-cotrain.jsonl"));
    EXPECT_EQ(testing::TensorboardFiles(events).size(), files);
  }
};

TEST_F(TrainerUnderMpi, Usr1WritesACheckpointAndTheJobGoesOnAndUsr2EndsItWithOne) {
  int at_usr1 = 0;
  const int steps = StopInItsMidst(run_dir(), [&](event::ChildProcess& mpirun) {
    mpirun.Signal(SIGUSR1);
    if (!WaitUntil(mpirun, [&] { return !Checkpoints(run_dir()).empty(); })) return;
    at_usr1 = Checkpoints(run_dir()).front();
    // It goes on: there are steps after the checkpoint.
    if (!WaitUntil(mpirun, [&] { return CurveLines(run_dir()) > at_usr1 + 1; })) return;
    mpirun.Signal(SIGUSR2);
  });
  ASSERT_GT(steps, 0);
  EXPECT_GE(at_usr1, 2);
  EXPECT_GT(Checkpoints(run_dir()).back(), at_usr1);
  ExpectTheBitsOfAnUninterruptedJob(run_dir(), steps);
}

TEST_F(TrainerUnderMpi, TermOfOneRankEndsAllWithACheckpointAndHupDoesNothing) {
  const int steps = StopInItsMidst(run_dir(), [&](event::ChildProcess& mpirun) {
    // Between mpirun and the rank stands its keeper, of the same program.
    const int rank = ChildOf(ChildOf(mpirun.pid()));
    EXPECT_GT(rank, 0);
    if (rank <= 0) return;
    // Of two that wait, the lower number comes first: a rank that HUP ended would not leave with 143.
    kill(rank, SIGHUP);
    kill(rank, SIGTERM);
  });
  ASSERT_GT(steps, 0);
  ExpectTheBitsOfAnUninterruptedJob(run_dir(), steps);
}

TEST_F(TrainerUnderMpi, IntOfOneRankEndsAllAsTermDoes) {
  EXPECT_GT(StopInItsMidst(run_dir(),
                           [](event::ChildProcess& mpirun) {
                             const int rank = ChildOf(ChildOf(mpirun.pid()));
                             EXPECT_GT(rank, 0);
                             if (rank > 0) kill(rank, SIGINT);
                           }),
            0);
}

/// Promise 5, without a coordinator to see to it.
TEST_F(TrainerUnderMpi, ASecondOneLeavesTheFolderToTheFirst) {
  Outcome second;
  const int steps = StopInItsMidst(run_dir(), [&](event::ChildProcess& first) {
    // Of the try in which the first was not done before.
    second = Run(Trainer(run_dir(), 3), Environment());
    first.Signal(SIGUSR2);
  });
  ASSERT_GT(steps, 0);
  EXPECT_EQ(second.exit_code, 202) << second.output;
  EXPECT_NE(second.output.find("another process runs this folder: path=" + run_dir().string() + " run=cotrain-"),
            std::string::npos)
      << second.output;
  ExpectTheBitsOfAnUninterruptedJob(run_dir(), steps);
}

TEST_F(TrainerUnderMpi, Check5TwoComputeWhatOneDoes) {
  for (const int ranks : {1, 2}) {
    std::vector<std::string> command = Trainer(folder() / std::to_string(ranks), 4, ranks);
    command.insert(command.end(), {"--set", "cotrain.dtype=float64", "--set", "cotrain.batch_norm=sync"});
    const Outcome outcome = Run(command, Environment());
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  std::ifstream alone(folder() / "1/logs/curve-cotrain.jsonl"), both(folder() / "2/logs/curve-cotrain.jsonl");
  int steps = 0;
  for (std::string one, other; std::getline(alone, one) && std::getline(both, other); ++steps) {
    const Json figures = ParseJson(one).value().flatten(), others = ParseJson(other).value().flatten();
    ASSERT_EQ(figures.size(), others.size()) << one << other;
    for (const auto& [name, value] : figures.items()) {
      if (!value.is_number()) continue;
      const double figure = value;
      EXPECT_NEAR(others.at(name).get<double>(), figure, 1e-9 * (1 + std::abs(figure))) << name << " step " << steps;
    }
  }
  EXPECT_EQ(steps, 4);
}

TEST_F(TrainerUnderMpi, DrawsATimelineOfAllRanks) {
  const auto file = folder() / "trace.json";
  std::vector<std::string> command = Trainer(run_dir(), 3);
  // Wide enough for several parts of gradients.
  command.insert(command.end(), {"--trace", file.string(), "--set", "model.width=64"});
  const Outcome outcome = Run(command, Environment());
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  std::map<std::string, std::set<int>> ranks_of;
  // Of rank 0, in the order of their ends.
  std::map<std::string, std::vector<Span>> spans;
  std::vector<double> sums;
  const Json trace = ReadJson(file);
  for (const Json& event : trace["traceEvents"]) {
    const std::string name = event["name"];
    ranks_of[name].insert(event["pid"].get<int>());
    if (event["pid"] != 0) continue;
    if (event["ph"] == "X")
      spans[name].push_back({event["ts"], event["ts"].get<double>() + event["dur"].get<double>()});
    if (event["ph"] == "b") sums.push_back(event["ts"]);
  }
  for (const char* name :
       {"step", "data wait", "views", "teacher forward", "student forward", "student backward", "autograd",
        "feedback: L_old", "feedback: L_new", "teacher backward", "sum", "all-reduce", "average"})
    EXPECT_EQ(ranks_of[name], (std::set<int>{0, 1})) << name;
  for (const char* name : {"student backward", "teacher backward"}) {
    SCOPED_TRACE(name);
    ASSERT_EQ(spans[name].size(), 3U);
    for (const Span& backward : spans[name]) {
      const auto autograd =
          std::ranges::find_if(spans["autograd"], [&](const Span& span) { return backward.Holds(span.begin); });
      ASSERT_NE(autograd, spans["autograd"].end());
      const auto begun_in = [&](const Span& span) {
        return std::ranges::count_if(sums, [&](double begin) { return span.Holds(begin); });
      };
      EXPECT_GE(begun_in(backward), 3) << "parts";
      EXPECT_GE(begun_in(*autograd), 2) << "sums begin while autograd goes on";
    }
  }
}

TEST_F(TrainerUnderMpi, SaysBeforeTheWorkThatTheTimelineCannotBeWritten) {
  std::vector<std::string> command = Trainer(run_dir(), 3);
  command.insert(command.end(), {"--trace", "/absent/folder/trace.json"});
  const Outcome outcome = Run(command, Environment());
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.output.find("/absent/folder"), std::string::npos) << outcome.output;
  EXPECT_EQ(CurveLines(run_dir()), 0);
}

}  // namespace
}  // namespace ferment::road
