// SPDX-License-Identifier: Apache-2.0
#include "cli/run_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "common/base/json.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/event/slurm_record.h"
#include "common/io/folder_hold.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

/// A real coordinator with stand-ins for labeler, trainer and mpirun, which wait until they are told to leave.
class RunSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("session_" + std::to_string(getpid())) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_ / "bin");
    fs::create_directories(root_ / "data");
    fs::create_symlink(fs::path(FERMENT_BIN_DIR) / "ferment-coordinator", root_ / "bin" / "ferment-coordinator");
    Program("ferment-labeler", "trap 'exit 143' TERM; while :; do sleep 0.02; done");
    Program("ferment-trainer", "exit 1");
    Program("mpirun", "echo started >> " + (root_ / "starts").string() +
                          "; trap 'echo saved; exit 143' USR2; while :; do sleep 0.02; done");
    setenv("PATH", ((root_ / "bin").string() + ":" + getenv("PATH")).c_str(), 1);
    options_.spec = DefaultSpec();
    options_.spec.set_name("session");
    v1::FerSpec* fer = options_.spec.mutable_data()->add_fer();
    fer->set_format("folder");
    fer->set_path((root_ / "data").string());
    v1::FrSpec* fr = options_.spec.mutable_data()->mutable_fr();
    fr->set_format("insightface");
    fr->set_path((root_ / "data").string());
    fr->set_shard_records(4096);
    options_.run_dir = root_ / "run";
    options_.programs = root_ / "bin";
  }

  void Program(const std::string& name, const std::string& script) {
    std::ofstream(root_ / "bin" / name) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(root_ / "bin" / name, fs::perms::owner_all);
  }

  std::vector<event::ProcessRecord> Records() const {
    return event::ReadProcessRecords(RunLayout(options_.run_dir).Processes());
  }

  std::size_t Trainers() const {
    std::size_t count = 0;
    for (const auto& record : Records()) count += record.role == "trainer" && record.Alive() ? 1U : 0U;
    return count;
  }

  /// Starts a run on its own thread and returns once a trainer job and every labeler run.
  std::jthread StartUntilTraining(Interruptions& interruptions, std::optional<int>& code) {
    std::jthread session([this, &interruptions, &code] { code = RunToTheEnd(options_, interruptions); });
    while ((Trainers() == 0 || Records().size() < 2U + options_.spec.labeling().labelers()) && !code)
      std::this_thread::yield();
    return session;
  }

  void ExpectNothingLeft(const std::vector<event::ProcessRecord>& started) const {
    for (const auto& record : started) EXPECT_FALSE(record.Alive()) << record.role;
    EXPECT_TRUE(Records().empty());
  }

  fs::path root_;
  RunOptions options_;
};

TEST_F(RunSessionTest, DrainsOnTheFirstInterruptAndGoesOnLater) {
  for (int round = 1; round <= 2; ++round) {
    Interruptions interruptions;
    std::optional<int> code;
    std::jthread session = StartUntilTraining(interruptions, code);
    const auto started = Records();
    EXPECT_EQ(started.size(), 2U + options_.spec.labeling().labelers());
    interruptions.Take(SIGINT);
    session.join();
    EXPECT_EQ(code, exit_code::kInterrupted);
    ExpectNothingLeft(started);
  }
  std::ifstream starts(root_ / "starts");
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(starts), {}, '\n'), 2);
}

TEST_F(RunSessionTest, EndsAtOnceOnTheSecondInterrupt) {
  const fs::path told = root_ / "told";
  Program("mpirun", "trap '' USR2 TERM; while :; do sleep 0.02; done");
  Program("ferment-labeler", "trap 'echo >> " + told.string() + "' TERM; while :; do sleep 0.02; done");
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  const auto started = Records();
  interruptions.Take(SIGINT);
  while (!fs::exists(told)) std::this_thread::yield();
  EXPECT_FALSE(code) << "nobody has left yet";
  const auto again = std::chrono::steady_clock::now();
  interruptions.Take(SIGINT);
  session.join();
  EXPECT_EQ(code, exit_code::kInterrupted);
  ExpectNothingLeft(started);
  // Those who do not leave by themselves are waited for for ten seconds, and then for a minute.
  EXPECT_LT(std::chrono::steady_clock::now() - again, std::chrono::seconds(9));
}

TEST_F(RunSessionTest, AnInterruptEndsTheRenderingOfData) {
  options_.spec.mutable_data()->clear_fer();
  options_.spec.mutable_data()->clear_fr();
  // For days, if it were not stopped.
  options_.spec.mutable_data()->mutable_synthetic()->set_faces_train(1'000'000'000);
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session([&] { code = RunToTheEnd(options_, interruptions); });
  while (!fs::exists(RunLayout(options_.run_dir).SyntheticData() / "fer") && !code) std::this_thread::yield();
  interruptions.Take(SIGINT);
  session.join();
  EXPECT_EQ(code, exit_code::kInterrupted);
  EXPECT_TRUE(Records().empty());
}

TEST_F(RunSessionTest, ASecondInterruptKillsWhatAnEarlierStartHadLeft) {
  const fs::path told = root_ / "told";
  Program("left", "trap 'echo >> " + told.string() + "' TERM; echo >> " + (root_ / "ready").string() +
                      "; while :; do sleep 0.02; done");
  auto left = event::ChildProcess::Start({.argv = {(root_ / "bin" / "left").string()}, .output = root_ / "left.log"});
  ASSERT_TRUE(left) << left.error().message();
  while (!fs::exists(root_ / "ready")) std::this_thread::yield();
  ASSERT_TRUE(event::WriteProcessRecord(RunLayout(options_.run_dir).Processes(),
                                        {"labeler", left->pid(), left->start_time(), "left"})
                  .ok());
  std::ofstream(RunLayout(options_.run_dir).root() / io::kCommandLock);
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session([&] { code = RunToTheEnd(options_, interruptions); });
  while (!fs::exists(told) && !code) std::this_thread::yield();
  const auto again = std::chrono::steady_clock::now();
  interruptions.Take(SIGINT);
  interruptions.Take(SIGINT);
  session.join();
  EXPECT_EQ(code, exit_code::kInterrupted);
  EXPECT_EQ(left->Poll(), exit_code::kKilled);
  EXPECT_TRUE(Records().empty());
  EXPECT_LT(std::chrono::steady_clock::now() - again, std::chrono::seconds(7));
}

TEST_F(RunSessionTest, AClosedTerminalDrainsHoweverOftenItHangsUp) {
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  const auto started = Records();
  interruptions.Take(SIGHUP);
  interruptions.Take(SIGHUP);
  session.join();
  EXPECT_EQ(code, exit_code::kTerminated);
  ExpectNothingLeft(started);
  std::ifstream log(RunLayout(options_.run_dir).Log("teacher"));
  const std::string text(std::istreambuf_iterator<char>(log), {});
  EXPECT_THAT(text, testing::HasSubstr("saved")) << "the trainer was not given the time";
}

TEST_F(RunSessionTest, SurvivesTheDeathOfItsCoordinator) {
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  pid_t coordinator = 0;
  for (const auto& record : Records()) coordinator = record.role == "coordinator" ? record.pid : coordinator;
  kill(coordinator, SIGKILL);
  const auto restarted = [&] {
    for (const auto& record : Records()) {
      if (record.role == "coordinator" && record.pid != coordinator && record.Alive()) return true;
    }
    return false;
  };
  while (!restarted() && !code) std::this_thread::yield();
  EXPECT_EQ(Trainers(), 1U);
  interruptions.Take(SIGTERM);
  session.join();
  EXPECT_EQ(code, exit_code::kTerminated);
  EXPECT_TRUE(Records().empty());
}

TEST_F(RunSessionTest, RefusesAFolderThatALiveRunHolds) {
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  Interruptions none;
  EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kFenced);
  EXPECT_EQ(Trainers(), 1U);
  interruptions.Take(SIGINT);
}

/// A coordinator that nobody's `ferment run` started, with a store of its own.
class Standalone {
 public:
  Standalone(const fs::path& programs, const fs::path& folder) : programs_(programs), folder_(folder) {
    fs::create_directories(folder_);
    Start();
  }
  ~Standalone() { Kill(); }
  Standalone(const Standalone&) = delete;
  Standalone& operator=(const Standalone&) = delete;

  void Start() {
    const fs::path address_file = folder_ / "address.json";
    fs::remove(address_file);
    auto started = event::ChildProcess::Start(
        {.argv = {(programs_ / "ferment-coordinator").string(), "--store",
                  "sqlite:" + (folder_ / "ferment.db").string(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                  "--address-file", address_file.string(), "--trainer", (programs_ / "ferment-trainer").string()},
         .output = folder_ / "log"});
    ASSERT_TRUE(started) << started.error().message();
    process_.emplace(std::move(*started));
    while (!fs::exists(address_file) && !process_->Poll()) std::this_thread::yield();
    std::ifstream in(address_file);
    const auto json = ParseJson(std::string{std::istreambuf_iterator<char>(in), {}});
    ASSERT_TRUE(json) << Log();
    client_.emplace(json->at("grpc").get<std::string>(), std::chrono::seconds(30));
  }
  void Kill() {
    if (!process_) return;
    process_->Signal(SIGKILL);
    while (!process_->Poll()) std::this_thread::yield();
    process_.reset();
  }
  CoordinatorClient& client() { return *client_; }
  std::string Log() const {
    std::ifstream in(folder_ / "log");
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  const fs::path programs_;
  const fs::path folder_;
  std::optional<event::ChildProcess> process_;
  std::optional<CoordinatorClient> client_;
};

TEST_F(RunSessionTest, AFolderIsOneCoordinatorsAndNeitherACommandNorAnotherCoordinatorTakesIt) {
  v1::SubmitRunRequest request;
  request.set_run_dir(options_.run_dir.string());
  *request.mutable_spec() = options_.spec;
  Standalone first(options_.programs, root_ / "first");
  const auto run = first.client().Submit(request);
  ASSERT_TRUE(run) << run.error().message();
  while (Trainers() == 0) std::this_thread::yield();
  const auto trainer = Records();

  const auto expect_refusals = [&] {
    Interruptions none;
    testing::internal::CaptureStderr();
    EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kFenced);
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::AllOf(testing::HasSubstr("path=" + options_.run_dir.string()),
                               testing::HasSubstr("run=" + *run + "@"), testing::HasSubstr("pid=")));
    Standalone second(options_.programs, root_ / "second");
    const auto refused = second.client().SubmitOrReopen(request);
    ASSERT_TRUE(refused) << refused.error().message();
    const auto end = second.client().Watch(*refused, [](const v1::RunStatus&) {});
    ASSERT_TRUE(end) << end.error().message();
    EXPECT_EQ(ExitCodeOf(*end), exit_code::kFenced);
    EXPECT_THAT(end->failure(), testing::HasSubstr("path=" + options_.run_dir.string() + " run=" + *run + "@"));
    EXPECT_THAT(second.Log(), testing::Not(testing::HasSubstr("job.adopted")));
    EXPECT_FALSE(fs::exists(RunLayout(options_.run_dir).ReportJson())) << "of the one that was refused";
    ASSERT_EQ(Records().size(), 1U);
    EXPECT_EQ(Records()[0].pid, trainer[0].pid);
    EXPECT_TRUE(Records()[0].Alive());
  };
  expect_refusals();

  first.Kill();
  first.Start();
  while (first.Log().find("job.adopted") == std::string::npos) std::this_thread::yield();
  while (!io::HolderOf(options_.run_dir)) std::this_thread::yield();
  expect_refusals();

  EXPECT_TRUE(first.client().Cancel(*run).ok());
  EXPECT_TRUE(first.client().Watch(*run, [](const v1::RunStatus&) {}));
  while (io::HolderOf(options_.run_dir)) std::this_thread::yield();
  const auto after = io::FolderHold::Take(options_.run_dir, "anybody");
  EXPECT_TRUE(after) << after.error().message();
}

TEST_F(RunSessionTest, ACommandEndsTheTrainerOfACoordinatorThatIsGone) {
  v1::SubmitRunRequest request;
  request.set_run_dir(options_.run_dir.string());
  *request.mutable_spec() = options_.spec;
  Standalone first(options_.programs, root_ / "first");
  ASSERT_TRUE(first.client().Submit(request));
  while (Trainers() == 0) std::this_thread::yield();
  const auto left = Records();
  first.Kill();
  {
    Standalone second(options_.programs, root_ / "second");
    const auto refused = second.client().Submit(request);
    ASSERT_TRUE(refused);
    const auto end = second.client().Watch(*refused, [](const v1::RunStatus&) {});
    ASSERT_TRUE(end);
    EXPECT_EQ(ExitCodeOf(*end), exit_code::kFenced);
    EXPECT_THAT(end->failure(), testing::HasSubstr("pid=" + std::to_string(left[0].pid)));
    EXPECT_TRUE(left[0].Alive());
  }
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  EXPECT_FALSE(left[0].Alive());
  EXPECT_EQ(Trainers(), 1U);
  interruptions.Take(SIGINT);
}

TEST_F(RunSessionTest, AFolderInWhichASlurmJobMayRunIsNeitherDeletedNorTakenOver) {
  Program("scancel", "touch " + (root_ / "cancelled").string());
  const std::string name = event::SlurmName("another run@1", options_.run_dir, "teacher", 1);
  const event::SlurmRecord record(options_.run_dir, name);
  ASSERT_TRUE(record.Want("#!/bin/bash\n").ok());
  std::ofstream(options_.run_dir / "spec.yaml") << SpecToYaml(options_.spec);
  options_.fresh = true;
  Interruptions none;
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kFenced);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("scancel --name=" + name));
  EXPECT_TRUE(fs::exists(record.Script()));
  options_.fresh = false;
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kFenced);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("a Slurm job of another run"));
  EXPECT_FALSE(fs::exists(root_ / "cancelled")) << "it is not this run's to end";
  ASSERT_TRUE(record.NoteLost().value());
  Interruptions interruptions;
  std::optional<int> code;
  std::jthread session = StartUntilTraining(interruptions, code);
  EXPECT_EQ(Trainers(), 1U) << "its end is known";
  interruptions.Take(SIGINT);
}

TEST_F(RunSessionTest, NamesMissingDataBeforeAnythingStarts) {
  options_.spec.mutable_data()->mutable_fr()->set_path("/no/such/pack");
  Interruptions none;
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kBadData);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("/no/such/pack"));
  EXPECT_TRUE(Records().empty());
  const fs::path kept = options_.run_dir / "labels" / "kept";
  fs::create_directories(kept);
  options_.fresh = true;
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunToTheEnd(options_, none), exit_code::kBadData);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("/no/such/pack"));
  EXPECT_TRUE(fs::exists(kept)) << "nothing is deleted for a run that cannot begin";
}

}  // namespace
}  // namespace ferment::cli
