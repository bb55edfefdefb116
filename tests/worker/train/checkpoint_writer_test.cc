// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "common/io/checksum.h"
#include "tests/support/crash_images.h"
#include "tests/support/disk_faults.h"
#include "tests/support/job_folder_test.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/scripted_recipe.h"
#include "worker/collective/thread_collective.h"
#include "worker/train/checkpoint_folder.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;
using testing::RecordedRunClient;
using testing::ScriptedRecipe;

/// More calls than three checkpoints take.
constexpr int kMostCalls = 1000;

class CheckpointWriterTest : public testing::JobFolderTest {
 protected:
  std::filesystem::path Checkpoints(const std::string& run) const {
    return RunLayout(folder_ / run).Checkpoints("teacher");
  }
  /// Returns: the newest step whose checkpoint came to its end, 0 where there is none.
  std::uint64_t NewestWhole(const std::string& run) const {
    for (const std::uint64_t step : {6U, 4U, 2U}) {
      if (std::filesystem::exists(Checkpoints(run) / ("step-" + std::to_string(step)) / "MANIFEST.json")) return step;
    }
    return 0;
  }
  /// One process of the job: goes on from its last checkpoint.
  Status Train(const std::string& run, ScriptedRecipe& recipe, RecordedRunClient& client) const {
    const auto alone = MakeSingleCollective();
    const RecipeContext context{
        .spec = spec_, .layout = RunLayout(folder_ / run), .phase = "teacher", .world = *alone, .recording = {}};
    return TrainerLoop(recipe, context, client, {}).Run();
  }
  /// The job of six steps, with a checkpoint after 2, 4 and 6. Returns: the first failure.
  Status TrainInThreeParts(
      const std::string& run, const std::function<void()>& mark = [] {}) const {
    for (const std::uint64_t last : {1U, 3U, 5U}) {
      RecordedRunClient client;
      ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
        client.stop = step == last;
        return Status();
      }});
      const Status status = Train(run, recipe, client);
      if (!status.ok() && status.exit_code() != exit_code::kTerminated) return status;
      mark();
    }
    return Status();
  }
  /// Goes on with a run and expects it to have lost nothing, and its end to be the same bits as if nothing had
  /// happened.
  void ExpectToGoOn(const std::string& run) const {
    const std::uint64_t newest = NewestWhole(run);
    const bool finished = std::filesystem::exists(RunLayout(folder_ / run).Result("teacher"));
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    const Status status = Train(run, recipe, client);
    ASSERT_TRUE(status.ok()) << status.ToString();
    if (!finished) {
      EXPECT_EQ(recipe.restored_at, newest);
    }
    EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
  }
  std::string UndisturbedDigest() const {
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    EXPECT_TRUE(Train("undisturbed", recipe, client).ok());
    return client.completed.at(0).models.at(0).sha256;
  }
};

TEST_F(CheckpointWriterTest, AfterAPowerCutTheJobGoesOnFromWhatWasToldToBeWrittenToTheSameBits) {
  std::filesystem::create_directories(folder_ / "run");
  std::vector<testing::DiskChange> changes;
  {
    testing::DiskTape tape(folder_ / "run");
    ASSERT_EQ(TrainInThreeParts("run", [&] { tape.Mark(); }).exit_code(), 0);
    changes = tape.changes();
  }
  // An absolute path stays what it is below folder_.
  const std::string image = testing::ImageFolder().string();
  const int images = testing::ForEachCrash(changes, image, [&](int parts) {
    EXPECT_GE(NewestWhole(image), 2U * static_cast<unsigned>(parts));
    ExpectToGoOn(image);
  });
  EXPECT_GT(images, 800);
}

TEST_F(CheckpointWriterTest, AResultThatAKilledTrainerPublishedIsToldOfOnceNoPowerCutCanTakeIt) {
  const auto train = [&] {
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    (void)Train("run", recipe, client);
    return client.completed;
  };
  std::vector<JobResult> told;
  const std::string image = testing::ImageFolder().string();
  const int kills = testing::ForEachCrashAfterAKill({folder_ / "run", train, [&] { told = train(); }}, image, [&] {
    ASSERT_EQ(told.size(), 1U);
    const PublishedModel& model = told[0].models.at(0);
    const auto left = io::Sha256OfFile(std::filesystem::path(image) / model.file);
    EXPECT_TRUE(left && *left == model.sha256);
    EXPECT_TRUE(std::filesystem::exists(RunLayout(image).Result("teacher")));
  });
  EXPECT_GT(kills, 20);
}

TEST_F(CheckpointWriterTest, AnyCallOfTheDiskThatFailsEndsTheJobWith204AndLeavesTheCheckpointBefore) {
  int failed = 0;
  for (const int error : {ENOSPC, EIO}) {
    for (int call = 1; call < kMostCalls; ++call) {
      const std::string run = "run-" + std::to_string(error) + "-" + std::to_string(call);
      SCOPED_TRACE(run);
      Status status;
      std::uint64_t kept = 0;
      {
        const DiskFaults faults(Checkpoints(run), DiskFaults::Kind::kFail, call, error);
        status = TrainInThreeParts(run);
        kept = NewestWhole(run);
        if (!faults.happened()) break;
      }
      if (!status.ok()) {
        ++failed;
        EXPECT_EQ(status.exit_code(), exit_code::kStorageFailed) << status.ToString();
        EXPECT_NE(status.ToString().find("checkpoint not written: step="), std::string::npos) << status.ToString();
        EXPECT_NE(status.ToString().find("free_bytes="), std::string::npos) << status.ToString();
        const std::string named = kept == 0 ? "kept=none" : "step-" + std::to_string(kept) + " needed_bytes=32";
        EXPECT_NE(status.ToString().find(named), std::string::npos) << named << ": " << status.ToString();
      }
      ExpectToGoOn(run);
    }
  }
  EXPECT_GT(failed, 50);
}

TEST_F(CheckpointWriterTest, AKillBetweenAnyTwoCallsOfTheDiskLosesNothingThatWasSaved) {
  int killed = 0;
  for (int call = 1; call < kMostCalls; ++call) {
    const std::string run = "run-" + std::to_string(call);
    SCOPED_TRACE(run);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const DiskFaults faults(Checkpoints(run), DiskFaults::Kind::kKill, call);
      _exit(TrainInThreeParts(run).ok() ? 0 : 1);
    }
    int ended = 0;
    ASSERT_EQ(waitpid(child, &ended, 0), child);
    if (WIFEXITED(ended)) {
      EXPECT_EQ(WEXITSTATUS(ended), 0);
      break;
    }
    ASSERT_EQ(WTERMSIG(ended), SIGKILL);
    ++killed;
    ExpectToGoOn(run);
  }
  EXPECT_GT(killed, 30);
}

TEST_F(CheckpointWriterTest, AWriterThatWasStoppedAtAnyCallCostsALaterOneNothing) {
  const auto job = folder_ / "job";
  const auto later = folder_ / "later";
  const auto state = [](double value) {
    RecipeState made;
    made.tensors["net"] = {{"weights", torch::full({4}, value)}};
    made.scalars = Json::object();
    return made;
  };
  std::filesystem::create_directories(later);
  ASSERT_TRUE(CheckpointFolder(later).Save(4, state(2), 2, *io::FolderClaim::Take(later, 2)).ok());
  // Of another process: this one's calls are held.
  const std::string takes_over = "cd '" + job.string() +
                                 "' && rm -rf .writer-* checkpoints/step-* && mkdir -p checkpoints && cp -r '" +
                                 (later / "step-4").string() + "' checkpoints/";
  int stopped = 0;
  for (int call = 1; call < kMostCalls; ++call) {
    SCOPED_TRACE(call);
    std::filesystem::remove_all(job);
    std::filesystem::create_directories(job);
    const auto claim = *io::FolderClaim::Take(job, 1);
    const CheckpointFolder checkpoints(job / "checkpoints");
    DiskFaults faults(job, DiskFaults::Kind::kHold, call);
    std::atomic<bool> ended = false;
    std::jthread writer([&] {
      (void)checkpoints.Save(4, state(1), 2, claim);
      ended = true;
    });
    while (!faults.happened() && !ended) std::this_thread::yield();
    if (!faults.happened()) break;
    ++stopped;
    ASSERT_EQ(std::system(takes_over.c_str()), 0);
    faults.Release();
    writer.join();
    const auto newest = checkpoints.Newest();
    ASSERT_TRUE(newest && *newest) << "the later one's checkpoint is gone";
    EXPECT_TRUE(torch::equal((*newest)->tensors.at("net")[0].second, torch::full({4}, 2.0)));
  }
  EXPECT_GT(stopped, 8);
}

TEST_F(CheckpointWriterTest, StepsGoOnWhileTheDiskStandsStill) {
  DiskFaults faults(Checkpoints("run"), DiskFaults::Kind::kHold, 1);
  RecordedRunClient client;
  // The checkpoint of step 1 hangs until step 5 is made; those that fall due meanwhile wait for it.
  ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
    if (step == 5) {
      EXPECT_EQ(NewestWhole("run"), 0U);
      faults.Release();
    }
    return Status();
  }});
  const auto alone = MakeSingleCollective();
  const RecipeContext context{
      .spec = spec_, .layout = RunLayout(folder_ / "run"), .phase = "teacher", .world = *alone, .recording = {}};
  const Status status = TrainerLoop(recipe, context, client, {.checkpoint_every = 1}).Run();
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(std::filesystem::exists(Checkpoints("run") / "step-6" / "MANIFEST.json"));
  EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
  EXPECT_EQ(client.completed.at(0).last.metrics.at("checkpoint_bytes"), 32);
}

TEST_F(CheckpointWriterTest, WritesWhatTheTensorsWereWhenItBegan) {
  torch::Tensor weights = torch::zeros({3});
  std::vector<float> written;
  {
    DiskFaults faults(folder_, DiskFaults::Kind::kHold, 1);
    CheckpointWriter writer([&](const SavedJob& job) {
      EXPECT_EQ(mkdir((folder_ / "held").c_str(), 0755), 0);
      written.push_back(job.state.tensors.at("net")[0].second[0].item<float>());
      return Status();
    });
    SavedJob job;
    job.state.tensors["net"] = {{"weights", weights}};
    ASSERT_TRUE(writer.Begin(job).ok());
    weights.fill_(7);
    EXPECT_TRUE(writer.busy());
    faults.Release();
    EXPECT_TRUE(writer.Wait().ok());
  }
  EXPECT_EQ(written, std::vector<float>{0});
}

TEST_F(CheckpointWriterTest, HalfWrittenFoldersDoNotCountAsKept) {
  std::filesystem::create_directories(Checkpoints("run") / "step-5");
  EXPECT_TRUE(TrainInThreeParts("run").ok());
  EXPECT_FALSE(std::filesystem::exists(Checkpoints("run") / "step-5"));
  EXPECT_FALSE(std::filesystem::exists(Checkpoints("run") / "step-2"));
  EXPECT_TRUE(std::filesystem::exists(Checkpoints("run") / "step-4" / "MANIFEST.json"));
  EXPECT_TRUE(std::filesystem::exists(Checkpoints("run") / "step-6" / "MANIFEST.json"));
}

// A process that has lost the run token may live for a moment beside the one that has it.
TEST_F(CheckpointWriterTest, HalfWrittenFoldersGoWhenTheJobStartsAgainAndNotUnderAnothersHands) {
  RecordedRunClient client;
  ScriptedRecipe stopped({.before = [&](std::uint64_t step) {
    client.stop = step == 1;
    return Status();
  }});
  EXPECT_EQ(Train("run", stopped, client).exit_code(), exit_code::kTerminated);
  std::filesystem::create_directories(Checkpoints("run") / "step-3");
  client.stop = false;
  ScriptedRecipe whole({.before = [&](std::uint64_t step) {
    EXPECT_FALSE(std::filesystem::exists(Checkpoints("run") / "step-3"));
    if (step == 4) std::filesystem::create_directories(Checkpoints("run") / "step-5");
    return Status();
  }});
  EXPECT_TRUE(Train("run", whole, client).ok());
  EXPECT_EQ(NewestWhole("run"), 6U);
  EXPECT_TRUE(std::filesystem::exists(Checkpoints("run") / "step-5"));
}

TEST_F(CheckpointWriterTest, ADamagedNewestIsPassedOverForTheOneBefore) {
  EXPECT_TRUE(TrainInThreeParts("run").ok());
  std::filesystem::remove(RunLayout(folder_ / "run").Result("teacher"));
  std::filesystem::resize_file(Checkpoints("run") / "step-6" / "net.safetensors", 40);
  RecordedRunClient client;
  ScriptedRecipe recipe({});
  EXPECT_TRUE(Train("run", recipe, client).ok());
  EXPECT_EQ(recipe.restored_at, 4U);
  EXPECT_EQ(client.completed.at(0).models.at(0).sha256, UndisturbedDigest());
}

}  // namespace
}  // namespace ferment::worker
