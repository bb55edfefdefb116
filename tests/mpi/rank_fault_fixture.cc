// SPDX-License-Identifier: Apache-2.0
#include "tests/mpi/rank_fault_fixture.h"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "common/dataset/synthetic/synthetic_set.h"

namespace ferment::road {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::string ReadAll(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

double SecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

/// Returns: pids of live processes that go by one of these names.
std::vector<pid_t> ProcessesNamed(const std::vector<std::string>& names) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const std::string stat = ReadAll(entry.path() / "stat");
    const auto open = stat.find('(');
    const auto close = stat.rfind(')');
    if (close == std::string::npos || stat.compare(close, 4, ") Z ") == 0 || stat.compare(close, 4, ") X ") == 0)
      continue;
    const std::string name = stat.substr(open + 1, close - open - 1);
    if (std::find(names.begin(), names.end(), name) != names.end()) found.push_back(pid);
  }
  return found;
}

/// Returns: the lines rank_lost, as they came.
std::vector<Json> Namings(const std::string& output) {
  std::vector<Json> namings;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const auto at = line.find('{');
    if (at == std::string::npos || line.find("\"rank_lost\"") == std::string::npos) continue;
    if (auto json = ParseJson(line.substr(at))) namings.push_back(*std::move(json));
  }
  return namings;
}

Json FirstNaming(const std::string& output) {
  const std::vector<Json> namings = Namings(output);
  return namings.empty() ? Json() : namings.front();
}

void Strike(RankFault fault, pid_t pid) {
  switch (fault) {
    case RankFault::kKill:
      ASSERT_EQ(kill(pid, SIGKILL), 0) << std::strerror(errno);
      return;
    case RankFault::kStop:
      ASSERT_EQ(kill(pid, SIGSTOP), 0) << std::strerror(errno);
      return;
    case RankFault::kHold:
      ASSERT_EQ(ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), 0) << std::strerror(errno);
      ASSERT_EQ(ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0) << std::strerror(errno);
      return;
  }
}

}  // namespace

std::filesystem::path RankFaultTest::data_;

void RankFaultTest::SetUpTestSuite() {
  data_ = std::filesystem::path(::testing::TempDir()) / "rank-fault-data";
  RunSpec spec;
  auto& sizes = *spec.mutable_data()->mutable_synthetic();
  sizes.set_faces_train(64);
  sizes.set_faces_validation(16);
  sizes.set_fr_records(96);
  sizes.set_identities(12);
  sizes.set_videos_train(1);
  sizes.set_videos_validation(1);
  sizes.set_videos_test(1);
  sizes.set_frames(16);
  sizes.set_image_size(32);
  spec.set_seed(1);
  const Status rendered = dataset::RenderSyntheticSets(spec, data_);
  ASSERT_TRUE(rendered.ok()) << rendered.ToString();
}

void RankFaultTest::SetUp() {
  RoadTest::SetUp();
  const char* given = std::getenv("FERMENT_FAULT_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  std::cout << "FERMENT_FAULT_SEED=" << seed << std::endl;
  draw_.seed(seed);
}

event::ChildProcess RankFaultTest::StartJob(int steps) {
  std::filesystem::remove_all(run_dir());
  std::filesystem::create_directories(run_dir());
  const auto spec = run_dir() / "spec.yaml";
  std::ofstream(spec) << "apiVersion: ferment/v1\nname: faults\ndata:\n  fer: {format: folder, path: " << data_.string()
                      << "/fer, train: train.csv, validation: val.csv}\n  fr: {format: insightface, path: "
                      << data_.string()
                      << "/fr}\nmodel: {backbone: resnet18, width: 8, image_size: 32}\n"
                         "cotrain: {batch: 6, mu: 1, lr_teacher: 0.001, lr_student: 0.001, feedback: {form: 'off'}}\n"
                         "checkpoint: {every_steps: 5}\nresources: {device: cpu, threads_per_rank: 1}\n";
  const char* mpirun = std::getenv("FERMENT_MPIRUN");
  EXPECT_NE(mpirun, nullptr) << "run by three_hosts.sh";
  return Start({mpirun == nullptr ? "mpirun" : mpirun, "-np", std::to_string(kRanks),
                (BinFolder() / "ferment-trainer").string(), "--spec", spec.string(), "--run-dir", run_dir().string(),
                "--phase", "cotrain", "--from-init", "--set", "cotrain.steps=" + std::to_string(steps)});
}

std::map<int, pid_t> RankFaultTest::FindRanks() {
  constexpr std::string_view kVariable = "OMPI_COMM_WORLD_RANK=";
  std::map<int, pid_t> ranks;
  for (const pid_t pid : ProcessesNamed({"ferment-trainer"})) {
    const std::string environment = ReadAll("/proc/" + std::to_string(pid) + "/environ");
    const auto at = environment.find(kVariable);
    if (at != std::string::npos) ranks[std::atoi(environment.c_str() + at + kVariable.size())] = pid;
  }
  return ranks;
}

bool RankFaultTest::WaitForStep(event::ChildProcess& job, int step) {
  return WaitUntil(job, [&] { return StepsMade() > step && FindRanks().size() == kRanks; });
}

int RankFaultTest::StepsMade() const {
  const std::string curve = ReadAll(run_dir() / "logs" / "curve-cotrain.jsonl");
  return static_cast<int>(std::count(curve.begin(), curve.end(), '\n'));
}

std::string RankFaultTest::Output() const { return ReadAll(folder() / "output.txt"); }

Naming RankFaultTest::Inflict(RankFault fault, int rank) {
  const int step = std::uniform_int_distribution<int>(1, 40)(draw_);
  const auto pause = std::chrono::milliseconds(std::uniform_int_distribution<int>(0, 100)(draw_));
  event::ChildProcess job = StartJob(kManySteps);
  Naming naming;
  if (!WaitForStep(job, step)) {
    ADD_FAILURE() << "the job made no " << step << " steps:\n" << Output();
    job.SignalGroup(SIGKILL);
    return naming;
  }
  std::this_thread::sleep_for(pause);  // somewhere in the step
  ranks_ = FindRanks();
  const pid_t pid = ranks_.at(rank);
  const auto struck = SteadyClock::now();
  Strike(fault, pid);
  const bool ended = !WaitUntil(job, [&] {
    if (naming.line.is_null()) {
      naming.line = FirstNaming(Output());
      naming.named_after_seconds = SecondsSince(struck);
    }
    if (fault == RankFault::kHold) waitpid(pid, nullptr, WNOHANG | __WALL);  // a tracer's child, in part
    return SecondsSince(struck) > 60;
  });
  naming.ended_after_seconds = SecondsSince(struck);
  EXPECT_TRUE(ended) << "still there after a minute";
  if (!ended) job.SignalGroup(SIGKILL);
  naming.outcome = Wait(job);
  if (naming.line.is_null()) naming.line = FirstNaming(naming.outcome.output);
  return naming;
}

void RankFaultTest::ExpectNamed(RankFault fault, int rank, const std::string& what, int exit_code) {
  const Naming naming = Inflict(fault, rank);
  const std::string& output = naming.outcome.output;
  std::cout << what << " rank=" << rank << " named_after=" << naming.named_after_seconds
            << " ended_after=" << naming.ended_after_seconds << " exit_code=" << naming.outcome.exit_code << std::endl;
  ASSERT_FALSE(naming.line.is_null()) << "nobody was named:\n" << output;
  const auto field = [&](const char* name) { return naming.line.value(name, ""); };
  for (const Json& line : Namings(output)) EXPECT_EQ(line.value("lost_rank", ""), std::to_string(rank)) << output;
  if (fault != RankFault::kHold) {
    EXPECT_NE(field("rank"), std::to_string(rank)) << "a survivor speaks:\n" << output;
  }
  EXPECT_EQ(field("what"), what) << output;
  EXPECT_EQ(field("host"), "h" + std::to_string(rank + 1)) << output;
  EXPECT_EQ(field("pid"), std::to_string(ranks_.at(rank))) << output;
  EXPECT_EQ(field("phase"), "cotrain") << output;
  // The last sign is up to a second old; the speaker is where the others are.
  EXPECT_LE(std::atoi(field("step").c_str()), StepsMade() + 1) << output;
  EXPECT_NEAR(std::atoi(field("step_here").c_str()), StepsMade(), 2) << output;
  EXPECT_GT(std::atoi(field("collective").c_str()), 0) << output;
  EXPECT_LT(naming.named_after_seconds, 30);
  EXPECT_EQ(naming.outcome.exit_code, exit_code) << output;
  ExpectNoProcessOfTheJob();
}

void RankFaultTest::ExpectNoProcessOfTheJob() {
  const std::vector<std::string> names = {"ferment-trainer", "ferment-keeper", "orted"};
  const auto until = SteadyClock::now() + std::chrono::seconds(20);
  while (!ProcessesNamed(names).empty() && SteadyClock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(ProcessesNamed(names), std::vector<pid_t>());
}

}  // namespace ferment::road
