// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "tests/support/crash_images.h"
#include "tests/support/disk_faults.h"
#include "tests/worker/train/trainer_job_test.h"
#include "worker/train/job_state.h"

namespace ferment::worker {
namespace {

namespace fs = std::filesystem;
using testing::DiskFaults;
using testing::RecordedRunClient;
using testing::ScriptedRecipe;

/// More calls than a job takes.
constexpr int kMostCalls = 1000;
const JobInputs kEarlier = {{"student", "1a"}};
const JobInputs kLate = {{"student", "2b"}};
const JobInputs kLatest = {{"student", "3c"}};

/// A process that stands still at a call of the disk until it is told to go on.
class StoppedProcess {
 public:
  /// `life` returns the exit code.
  StoppedProcess(const fs::path& folder, int call, const std::function<int()>& life) {
    if (::pipe(here_.data()) != 0 || ::pipe(on_.data()) != 0) return;
    child_ = ::fork();
    if (child_ == 0) Live(folder, call, life);
  }
  ~StoppedProcess() {
    for (const int end : {here_[0], here_[1], on_[0], on_[1]}) ::close(end);
  }
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  /// Returns: whether it is there; it may be at its end without.
  bool Await() {
    char where = 0;
    return ::read(here_[0], &where, 1) == 1 && where == 'h';
  }
  /// Returns: the exit code.
  int GoOn() {
    int ended = 0;
    EXPECT_EQ(::write(on_[1], "g", 1), 1);
    EXPECT_EQ(::waitpid(child_, &ended, 0), child_);
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
  }

 private:
  [[noreturn]] void Live(const fs::path& folder, int call, const std::function<int()>& life) {
    DiskFaults faults(folder, DiskFaults::Kind::kHold, call);
    std::atomic<bool> ended = false;
    std::jthread let_go([&] {
      while (!faults.happened() && !ended) std::this_thread::yield();
      char told = faults.happened() ? 'h' : 'e';
      if (::write(here_[1], &told, 1) == 1) (void)!::read(on_[0], &told, 1);
      faults.Release();
    });
    const int code = life();
    ended = true;
    let_go.join();
    ::_exit(code);
  }

  std::array<int, 2> here_ = {-1, -1};
  std::array<int, 2> on_ = {-1, -1};
  pid_t child_ = -1;
};

/// Jobs of one folder that were made from different things.
class TakeOverTest : public TrainerJobTest {
 protected:
  fs::path Phases(const std::string& run) const { return Layout(run).Job("teacher").parent_path(); }
  Status TrainFrom(const JobInputs& inputs, std::uint64_t token, const std::string& run) const {
    RecordedRunClient client;
    client.held = token;
    ScriptedRecipe recipe({.inputs = inputs});
    return Train(run, recipe, client, {.checkpoint_every = 6});
  }
  Status TakeOver(const JobInputs& inputs, std::uint64_t token, const std::string& run) const {
    const auto alone = MakeSingleCollective();
    const RecipeContext context = Context(run, *alone);
    return JobState(context).TakeOver(token, inputs, /*start_anew=*/false);
  }
  /// A run whose job is done.
  void Begin(const std::string& run) const {
    if (!fs::exists(folder_ / "done")) {
      ASSERT_TRUE(TrainFrom(kEarlier, 1, "done").ok());
    }
    fs::copy(folder_ / "done", folder_ / run, fs::copy_options::recursive);
  }
  /// The folder holds the whole work of a trainer of `inputs` that ends now, whatever was there.
  void ExpectToTrain(const JobInputs& inputs, std::uint64_t token, const std::string& run) {
    const Status trained = TrainFrom(inputs, token, run);
    EXPECT_TRUE(trained.ok()) << trained.ToString();
    ExpectWhole(run, inputs);
    for (const auto& entry : fs::directory_iterator(Phases(run)))
      EXPECT_TRUE(!entry.path().string().ends_with(".half-set-aside") || fs::is_empty(entry.path())) << entry.path();
  }
  void ExpectWhole(const std::string& run, const JobInputs& inputs) {
    if (digest_.empty()) digest_ = UndisturbedDigest();
    const auto digest = io::Sha256OfFile(Layout(run).Model("teacher", "net"));
    ASSERT_TRUE(digest) << digest.error().ToString();
    EXPECT_EQ(*digest, digest_);
    EXPECT_TRUE(fs::exists(Layout(run).Result("teacher")));
    EXPECT_TRUE(HasCheckpoint(run, 6));
    const auto identity = io::ReadTextFile(Layout(run).Job("teacher") / "job.json");
    ASSERT_TRUE(identity);
    EXPECT_EQ(ParseJson(*identity).value()["inputs"], Json(inputs));
  }
  /// All that the earlier job had made lies in one or another folder.
  void ExpectNothingLost(const std::string& run) const {
    for (const char* file : {"job.json", "result.json", "models/net.safetensors", "checkpoints/step-6/MANIFEST.json"}) {
      int found = 0;
      for (const auto& entry : fs::directory_iterator(Phases(run))) found += fs::exists(entry.path() / file) ? 1 : 0;
      EXPECT_EQ(found, 2) << file << ": the earlier job's and the late one's";
    }
  }

  std::string digest_;
};

TEST_F(TakeOverTest, OneThatIsStoppedAtAnyCallOfTheDiskCostsALaterOneNothing) {
  int stopped = 0;
  for (int call = 1; call < kMostCalls; ++call) {
    SCOPED_TRACE(call);
    const std::string run = "run-" + std::to_string(call);
    Begin(run);
    StoppedProcess late(Phases(run), call, [&] { return ProcessExitCode(TrainFrom(kLate, 2, run)); });
    const bool there = late.Await();
    if (there) ExpectToTrain(kLatest, 3, run);
    const int code = late.GoOn();
    if (!there) {
      EXPECT_EQ(code, 0);
      break;
    }
    ++stopped;
    EXPECT_TRUE(code == exit_code::kFenced || code == 0) << code;
    ExpectWhole(run, kLatest);
    EXPECT_EQ(CurveSteps(run), (std::vector<int>{0, 1, 2, 3, 4, 5}));
    fs::remove_all(folder_ / run);
  }
  EXPECT_GT(stopped, 45);
}

TEST_F(TakeOverTest, AKillBetweenAnyTwoCallsOfTheDiskLosesNothingAndMixesNoTwoJobs) {
  int killed = 0;
  for (int call = 1; call < kMostCalls; ++call) {
    SCOPED_TRACE(call);
    const std::string run = "run-" + std::to_string(call);
    Begin(run);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const DiskFaults faults(Phases(run), DiskFaults::Kind::kKill, call);
      _exit(TakeOver(kLate, 2, run).ok() ? 0 : 1);
    }
    int ended = 0;
    ASSERT_EQ(waitpid(child, &ended, 0), child);
    fs::copy(folder_ / run, folder_ / "earlier", fs::copy_options::recursive);
    ExpectToTrain(kEarlier, 3, "earlier");
    ExpectToTrain(kLate, 3, run);
    ExpectNothingLost(run);
    fs::remove_all(folder_ / run);
    fs::remove_all(folder_ / "earlier");
    if (WIFEXITED(ended)) {
      EXPECT_EQ(WEXITSTATUS(ended), 0);
      break;
    }
    ASSERT_EQ(WTERMSIG(ended), SIGKILL);
    ++killed;
  }
  EXPECT_GT(killed, 20);
}

TEST_F(TakeOverTest, AfterAPowerCutNoJobTakesWhatIsLeftOfAnothersForItsOwn) {
  std::vector<testing::DiskChange> changes;
  fs::create_directories(folder_ / "run");
  {
    testing::DiskTape tape(folder_ / "run");
    ASSERT_TRUE(TrainFrom(kEarlier, 1, "run").ok());
    tape.Mark();
    ASSERT_TRUE(TakeOver(kLate, 2, "run").ok());
    changes = tape.changes();
  }
  // An absolute path stays what it is below folder_.
  const std::string image = testing::ImageFolder().string();
  int images = 0;
  (void)testing::ForEachCrash(changes, image, [&](int marks) {
    if (marks == 0) return;
    ++images;
    ExpectToTrain(kEarlier, 3, image);
  });
  EXPECT_GT(images, 150);
}

}  // namespace
}  // namespace ferment::worker
