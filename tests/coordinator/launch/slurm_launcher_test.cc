// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/slurm_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <thread>

#include "common/config/run_layout.h"
#include "common/event/slurm_record.h"
#include "tests/support/slurm_cluster.h"

namespace ferment::coordinator {
namespace {

using Kind = LaunchState::Kind;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr SlurmLauncherOptions kQuick{.interval = 100ms, .deadline = 5s, .file_patience = 300ms, .least_run = 0s};

/// Real jobs of a real Slurm; what they run stands in for mpirun, but where the test is about mpirun.
class SlurmLauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = ferment::testing::SlurmCluster::MissingProgram(); !missing.empty()) {
      GTEST_SKIP() << "needs Slurm and munge (tools/install_dependencies.sh installs them); not here: " << missing;
    }
    run_dir_ = std::filesystem::path(::testing::TempDir()) / ("slurm " + std::to_string(getpid()) + " 100% of it");
    std::filesystem::remove_all(run_dir_);
    std::filesystem::create_directories(run_dir_ / "logs");
    cluster_ = ferment::testing::SlurmCluster::Start();
    ASSERT_NE(cluster_, nullptr);
  }
  void TearDown() override {
    cluster_.reset();
    if (!HasFailure()) std::filesystem::remove_all(run_dir_);
  }

  /// The start of `attempt`, which runs these lines in place of mpirun.
  LaunchRequest Request(const std::string& lines, std::uint32_t attempt = 1) const {
    const auto program = run_dir_ / ("mpirun-" + std::to_string(attempt));
    std::ofstream(program) << "#!/bin/bash\necho \"started $SLURM_JOB_ID\" >>"
                           << "'" << Starts(attempt).string() << "'\n"
                           << lines << "\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return {.key = {"run", "teacher", attempt, 77, LauncherKind::kSlurm},
            .argv = {program.string(), "-np", "2"},
            .rank_program = "",
            .env = {{"TOLD", "it's so"}},
            .log_file = RunLayout(run_dir_).Log("teacher"),
            .run_dir = run_dir_,
            .ranks = 1,
            .threads_per_rank = 1};
  }
  std::filesystem::path Starts(std::uint32_t attempt) const { return run_dir_ / ("starts-" + std::to_string(attempt)); }
  static std::string TextOf(const std::filesystem::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }
  std::string LogText() const { return TextOf(RunLayout(run_dir_).Log("teacher")); }
  int StartsOf(std::uint32_t attempt) const {
    const std::string text = TextOf(Starts(attempt));
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }
  event::SlurmRecord RecordOf(const LaunchKey& key) const {
    return {run_dir_, event::SlurmName(OwnerName(key.run_id, key.submitted_ms), run_dir_, key.job_id, key.attempt)};
  }

  static bool Eventually(const std::function<bool()>& happened) {
    for (int i = 0; i < 4'500; ++i) {
      if (happened()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }
  bool AwaitStart(std::uint32_t attempt = 1) const {
    return Eventually([&] { return StartsOf(attempt) > 0; });
  }
  bool AwaitLog(const std::string& text) const {
    return Eventually([&] { return LogText().find(text) != std::string::npos; });
  }
  LaunchState AwaitEnd(Launcher& launcher, const LaunchKey& key) const {
    LaunchState state;
    EXPECT_TRUE(Eventually([&] {
      state = launcher.Poll(key, run_dir_);
      return state.kind != Kind::kRunning;
    })) << LogText()
        << cluster_->Queue("--states=all");
    return state;
  }

  std::filesystem::path run_dir_;
  std::unique_ptr<ferment::testing::SlurmCluster> cluster_;
  std::unique_ptr<Launcher> launcher_ = MakeSlurmLauncher(SystemClock(), kQuick);
};

TEST_F(SlurmLauncherTest, RunsAJobAndTellsItsExitCodeAlsoToWhoeverComesLater) {
  const LaunchRequest request = Request("echo \"words $* $TOLD $PWD\"; exit 65");
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kUnknown) << "before it was launched";
  EXPECT_EQ(launcher_->Signal(request.key, run_dir_, SIGUSR2).code(), StatusCode::kNotFound);
  ASSERT_TRUE(launcher_->Launch(request).ok());
  const LaunchState end = AwaitEnd(*launcher_, request.key);
  EXPECT_EQ(end.kind, Kind::kExited);
  EXPECT_EQ(end.exit_code, 65);
  EXPECT_FALSE(end.asked);
  EXPECT_THAT(LogText(), HasSubstr("words -np 2 it's so " + run_dir_.string()));
  ASSERT_TRUE(launcher_->Launch(request).ok()) << "once more";
  const auto later = MakeSlurmLauncher(SystemClock(), kQuick);
  ASSERT_TRUE(later->Launch(request).ok());
  EXPECT_EQ(AwaitEnd(*later, request.key).exit_code, 65);
  EXPECT_EQ(StartsOf(1), 1);
  EXPECT_EQ(cluster_->Queue("--states=all -o %i"), "1\n");
}

TEST_F(SlurmLauncherTest, AdoptsAJobThatSlurmTookAndNobodyNoted) {
  const LaunchRequest request = Request("until [[ -e go ]]; do sleep 0.05; done; exit 3");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitStart());
  // As after a crash between sbatch and the note of its answer.
  const std::filesystem::path note = RecordOf(request.key).stem().string() + ".job";
  const std::string number = TextOf(note);
  std::filesystem::remove(note);
  const auto second = MakeSlurmLauncher(SystemClock(), kQuick);
  EXPECT_EQ(second->Poll(request.key, run_dir_).kind, Kind::kRunning);
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(second->Poll(request.key, run_dir_).kind, Kind::kRunning);
    return TextOf(note) == number;
  }));
  std::ofstream(run_dir_ / "go").flush();
  EXPECT_EQ(AwaitEnd(*second, request.key).exit_code, 3);
  EXPECT_EQ(StartsOf(1), 1);
}

TEST_F(SlurmLauncherTest, AJobThatWasSubmittedTwiceRunsOnce) {
  const LaunchRequest request = Request("sleep 0.5; exit 5");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  // As by an sbatch that outlived its coordinator, without the line that keeps two of a name from running at a time.
  const std::string script = RecordOf(request.key).Script().string();
  cluster_->Shell("sbatch --parsable --dependency= '" + script + "' >/dev/null");
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).exit_code, 5);
  EXPECT_TRUE(AwaitLog("does nothing: this start was begun, or withdrawn, before"));
  EXPECT_EQ(StartsOf(1), 1);
}

TEST_F(SlurmLauncherTest, ASecondJobThatWaitsDoesNotStandForTheOneThatBegan) {
  const LaunchRequest request = Request("while :; do sleep 0.05; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitStart());
  cluster_->Shell("sbatch --parsable --hold '" + RecordOf(request.key).Script().string() + "' >/dev/null");
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).wait, "") << "it runs";
  cluster_->LoseNode(0);
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).kind, Kind::kUnknown);
}

TEST_F(SlurmLauncherTest, AJobWhoseRunLeftTheFolderDoesNothing) {
  LaunchRequest request = Request("exit 0");
  request.ranks = 7;
  ASSERT_TRUE(launcher_->Launch(request).ok());
  std::filesystem::remove(RecordOf(request.key).Script());
  cluster_->Shell("scontrol update JobId=1 NumTasks=1 NumCPUs=1 NumNodes=1");
  EXPECT_TRUE(AwaitLog("does nothing: its run is not in this folder any more"));
  EXPECT_EQ(StartsOf(1), 0);
}

/// T5.1, short: whoever launches dies at any time, and others come after it.
TEST_F(SlurmLauncherTest, StartsOnceWhereverTheLaunchIsCutShort) {
  constexpr std::uint32_t kRounds = 24;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed=" + std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<LaunchRequest> requests;
  for (std::uint32_t attempt = 1; attempt <= kRounds; ++attempt) {
    requests.push_back(Request("sleep 0.2; exit 9", attempt));
    for (int life = 0; life < 3; ++life) {
      const pid_t coordinator = fork();
      if (coordinator == 0) {
        const auto launcher = MakeSlurmLauncher(SystemClock(), kQuick);
        (void)launcher->Launch(requests.back());
        for (;;) (void)launcher->Poll(requests.back().key, run_dir_);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 120'000));
      kill(coordinator, SIGKILL);
      waitpid(coordinator, nullptr, 0);
    }
    if (launcher_->Poll(requests.back().key, run_dir_).kind == Kind::kUnknown) {
      ASSERT_TRUE(launcher_->Launch(requests.back()).ok());
    }
  }
  for (const LaunchRequest& request : requests) {
    const LaunchState end = AwaitEnd(*launcher_, request.key);
    EXPECT_EQ(end.exit_code, 9) << "attempt " << request.key.attempt;
    EXPECT_EQ(end.kind, Kind::kExited);
    EXPECT_EQ(StartsOf(request.key.attempt), 1) << "attempt " << request.key.attempt;
  }
  EXPECT_TRUE(Eventually([&] { return cluster_->Queue().empty(); }));
  for (const LaunchRequest& request : requests) EXPECT_EQ(StartsOf(request.key.attempt), 1);
}

TEST_F(SlurmLauncherTest, SignalsReachTheRanksOnTwoNodesThroughMpirun) {
  setenv("OMPI_MCA_oob_tcp_if_include", "lo", 1);
  setenv("OMPI_MCA_btl_tcp_if_include", "lo", 1);
  const auto rank = run_dir_ / "rank";
  std::ofstream(rank) << "#!/bin/bash\ntrap 'echo \"rank $OMPI_COMM_WORLD_RANK goes on\"' USR1\n"
                         "trap 'echo \"rank $OMPI_COMM_WORLD_RANK leaves $SLURMD_NODENAME\"; exit 143' USR2\n"
                         "echo \"rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE\"\nwhile :; do sleep 0.05; done\n";
  std::filesystem::permissions(rank, std::filesystem::perms::owner_all);
  LaunchRequest request = Request("");
  request.argv = {
      "mpirun", "-np",        "2", "--bind-to", "none", "--oversubscribe", "--mca", "odls_base_sigkill_timeout",
      "2",      rank.string()};
  request.env = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
  request.ranks = 2;
  request.threads_per_rank = 2;
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitLog("rank 0 of 2") && AwaitLog("rank 1 of 2")) << LogText();
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR1).ok());
  EXPECT_TRUE(AwaitLog("rank 0 goes on") && AwaitLog("rank 1 goes on")) << LogText();
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR2).ok());
  const LaunchState end = AwaitEnd(*launcher_, request.key);
  EXPECT_EQ(end.exit_code, 143) << LogText();
  EXPECT_TRUE(end.asked);
  EXPECT_THAT(LogText(), HasSubstr("rank 0 leaves n1"));
  EXPECT_THAT(LogText(), HasSubstr("rank 1 leaves n2"));
}

TEST_F(SlurmLauncherTest, TheEndOfItsTimeEndsInACheckpoint) {
  setenv("SBATCH_TIMELIMIT", "1", 1);
  // Slurm looks at limits every half minute, and may send the signal a minute early.
  setenv("SBATCH_SIGNAL", "B:USR2@59", 1);
  const LaunchRequest request = Request("trap 'echo saved; exit 143' USR2; while :; do sleep 0.05; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  const LaunchState end = AwaitEnd(*launcher_, request.key);
  unsetenv("SBATCH_TIMELIMIT");
  unsetenv("SBATCH_SIGNAL");
  EXPECT_EQ(end.exit_code, 143);
  EXPECT_TRUE(end.asked);
  EXPECT_THAT(LogText(), HasSubstr("saved"));
}

TEST_F(SlurmLauncherTest, AJobThatAnOperatorCancelsHasNotFailed) {
  const LaunchRequest request = Request("trap 'exit 143' USR2; while :; do sleep 0.05; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitStart());
  cluster_->Shell("scancel --user=$(id -u)");
  const LaunchState end = AwaitEnd(*launcher_, request.key);
  EXPECT_EQ(end.kind, Kind::kExited);
  EXPECT_EQ(end.exit_code, 143);
  EXPECT_TRUE(end.asked);
}

TEST_F(SlurmLauncherTest, AWaitingJobSaysWhyAndMayBeCancelledOrWithdrawn) {
  LaunchRequest request = Request("exit 0");
  request.ranks = 7;
  ASSERT_TRUE(launcher_->Launch(request).ok());
  std::string wait;
  EXPECT_TRUE(Eventually([&] {
    wait = launcher_->Poll(request.key, run_dir_).wait;
    return !wait.empty();
  }));
  EXPECT_THAT(wait, HasSubstr("Slurm job 1 waits: "));
  cluster_->Shell("scancel 1");
  LaunchState end = AwaitEnd(*launcher_, request.key);
  EXPECT_EQ(end.kind, Kind::kExited);
  EXPECT_EQ(end.exit_code, 143);

  request = Request("exit 0", 2);
  request.ranks = 7;
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGUSR2).ok());
  end = launcher_->Poll(request.key, run_dir_);
  EXPECT_EQ(end.kind, Kind::kExited) << "at once: no job can begin it any more";
  EXPECT_EQ(end.exit_code, 143);
  EXPECT_EQ(cluster_->Queue(), "");
}

TEST_F(SlurmLauncherTest, KillEndsTheJobAndAnUnwillingOneToo) {
  const LaunchRequest request = Request("trap '' USR2 TERM; echo deaf; while :; do sleep 0.05; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitLog("deaf"));
  ASSERT_TRUE(launcher_->Signal(request.key, run_dir_, SIGKILL).ok());
  // Nobody was left to say how it ended, so whoever holds the run token has to be silent first.
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).kind, Kind::kUnknown);
  EXPECT_TRUE(Eventually([&] { return cluster_->Queue().empty(); }));
  EXPECT_EQ(MakeSlurmLauncher(SystemClock(), kQuick)->Poll(request.key, run_dir_).kind, Kind::kUnknown);
}

TEST_F(SlurmLauncherTest, NobodySawAJobEndWhoseNodeIsLost) {
  const LaunchRequest request = Request("while :; do sleep 0.05; done");
  ASSERT_TRUE(launcher_->Launch(request).ok());
  ASSERT_TRUE(AwaitStart());
  cluster_->LoseNode(0);
  EXPECT_EQ(AwaitEnd(*launcher_, request.key).kind, Kind::kUnknown);
  EXPECT_THAT(cluster_->Queue("--states=all -o %T"), HasSubstr("NODE_FAIL"));
}

TEST_F(SlurmLauncherTest, WaitsForAControllerThatIsDown) {
  const LaunchRequest running = Request("sleep 0.3; exit 4");
  ASSERT_TRUE(launcher_->Launch(running).ok());
  ASSERT_TRUE(AwaitStart());
  const LaunchRequest deaf = Request("trap 'echo told; exit 143' USR2; while :; do sleep 0.05; done", 2);
  ASSERT_TRUE(launcher_->Launch(deaf).ok());
  ASSERT_TRUE(AwaitStart(2));
  cluster_->StopController();
  launcher_ = MakeSlurmLauncher(SystemClock(), {.interval = 100ms, .deadline = 2s, .file_patience = 300ms});
  EXPECT_EQ(AwaitEnd(*launcher_, running.key).exit_code, 4) << "its own word needs no controller";
  ASSERT_TRUE(launcher_->Signal(deaf.key, run_dir_, SIGUSR2).ok());
  const LaunchRequest next = Request("exit 6", 3);
  ASSERT_TRUE(launcher_->Launch(next).ok());
  EXPECT_EQ(launcher_->Poll(deaf.key, run_dir_).kind, Kind::kRunning);
  EXPECT_EQ(launcher_->Poll(next.key, run_dir_).kind, Kind::kRunning);
  EXPECT_EQ(MakeSlurmLauncher(SystemClock(), kQuick)->Poll(deaf.key, run_dir_).kind, Kind::kRunning);
  cluster_->StartController();
  EXPECT_EQ(AwaitEnd(*launcher_, next.key).exit_code, 6);
  EXPECT_EQ(AwaitEnd(*launcher_, deaf.key).exit_code, 143);
  EXPECT_THAT(LogText(), HasSubstr("told"));
  EXPECT_EQ(StartsOf(3), 1);
}

TEST_F(SlurmLauncherTest, SaysWhatSlurmRefuses) {
  setenv("SBATCH_PARTITION", "nowhere", 1);
  const LaunchRequest request = Request("exit 0");
  const Status status = launcher_->Launch(request);
  unsetenv("SBATCH_PARTITION");
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(status.message(), HasSubstr("Invalid partition name specified"));
}

/// Programs in place of Slurm's.
class SlurmLauncherOnStandInsTest : public SlurmLauncherTest {
 protected:
  void SetUp() override {
    run_dir_ = std::filesystem::path(::testing::TempDir()) / ("slurm_standins_" + std::to_string(getpid()));
    std::filesystem::remove_all(run_dir_);
    std::filesystem::create_directories(run_dir_ / "logs");
    path_ = getenv("PATH");
    setenv("PATH", ((run_dir_ / "bin").string() + ":/usr/bin:/bin").c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    if (!HasFailure()) std::filesystem::remove_all(run_dir_);
  }
  void Program(const std::string& name, const std::string& lines) {
    std::filesystem::create_directories(run_dir_ / "bin");
    std::ofstream(run_dir_ / "bin" / name) << "#!/bin/sh\n" << lines << "\n";
    std::filesystem::permissions(run_dir_ / "bin" / name, std::filesystem::perms::owner_all);
  }
  const std::string kHeader = "echo 'JOBID|STATE|EXIT_CODE|REASON|NAME|'\n";
  std::string path_;
};

TEST_F(SlurmLauncherOnStandInsTest, AnAnswerThatNobodyUnderstandsIsNoAnswer) {
  Program("squeue", "echo 'slurm says hello'");
  Program("sbatch", "echo \"$@\" >>'" + (run_dir_ / "submitted").string() + "'; echo 12");
  const LaunchRequest request = Request("");
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(launcher_->Launch(request).ok());
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("slurm says hello"));
  EXPECT_EQ(TextOf(run_dir_ / "submitted"), "") << "nobody knows whether there is such a job";
  Program("squeue", "");
  for (const auto until = std::chrono::steady_clock::now() + 1s; std::chrono::steady_clock::now() < until;) {
    EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
  }
  EXPECT_EQ(TextOf(run_dir_ / "submitted"), "") << "an answer without a header is none";
  Program("squeue", kHeader + "[ -z \"$SQUEUE_PARTITION\" ] || exit 1");
  setenv("SQUEUE_PARTITION", "nowhere", 1);
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
    return !TextOf(run_dir_ / "submitted").empty();
  }));
  unsetenv("SQUEUE_PARTITION");
  EXPECT_EQ(RecordOf(request.key).Job().value(), "12");
}

TEST_F(SlurmLauncherOnStandInsTest, AWordOfItsOwnThatComesLateIsNotReplaced) {
  const LaunchRequest request = Request("");
  const event::SlurmRecord record = RecordOf(request.key);
  ASSERT_TRUE(record.Want("#!/bin/bash\n").ok());
  std::ofstream(record.stem().string() + ".begin") << "12\n";
  // Written while Slurm is asked.
  Program("squeue", kHeader + "echo '143 asked' >'" + record.stem().string() + ".end'");
  launcher_ = MakeSlurmLauncher(SystemClock(), {.interval = 0ms, .deadline = 5s, .file_patience = 0ms});
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
  const LaunchState end = launcher_->Poll(request.key, run_dir_);
  EXPECT_EQ(end.exit_code, 143);
  EXPECT_TRUE(end.asked);
}

TEST_F(SlurmLauncherOnStandInsTest, ASlowProgramIsEndedAtItsDeadline) {
  Program("squeue", kHeader);
  Program("sbatch", "echo >>'" + (run_dir_ / "asked").string() + "'; sleep 60");
  launcher_ = MakeSlurmLauncher(SystemClock(), {.interval = 1s, .deadline = 500ms, .file_patience = 300ms});
  const LaunchRequest request = Request("");
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(launcher_->Launch(request).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
  EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
  EXPECT_EQ(TextOf(run_dir_ / "asked"), "\n") << "Slurm is left alone for an interval";
  // It was accepted all the same.
  Program("squeue", kHeader + "echo '12|RUNNING|0|None|" + RecordOf(request.key).stem().filename().string() + "|'");
  Program("sbatch", "echo twice >>'" + (run_dir_ / "submitted").string() + "'; echo 13");
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(launcher_->Poll(request.key, run_dir_).kind, Kind::kRunning);
    return RecordOf(request.key).Job().value().has_value();
  }));
  EXPECT_EQ(RecordOf(request.key).Job().value(), "12");
  EXPECT_EQ(TextOf(run_dir_ / "submitted"), "");
}

TEST_F(SlurmLauncherOnStandInsTest, SaysWhatToInstall) {
  setenv("PATH", (run_dir_ / "bin").c_str(), 1);
  const LaunchRequest request = Request("");
  const Status status = launcher_->Launch(request);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(status.message(), HasSubstr("apt-get install slurm-client"));
}

}  // namespace
}  // namespace ferment::coordinator
