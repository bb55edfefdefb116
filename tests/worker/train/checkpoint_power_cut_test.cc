// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/types.h>

#include <map>
#include <string>

#include "common/io/checksum.h"
#include "tests/support/crash_images.h"
#include "tests/support/job_folder_test.h"
#include "tests/support/recorded_run_client.h"
#include "tests/support/scripted_recipe.h"
#include "worker/collective/thread_collective.h"
#include "worker/train/checkpoint_folder.h"
#include "worker/train/checkpoint_writer.h"
#include "worker/train/trainer_loop.h"

namespace ferment::worker {
namespace {

using testing::CrashImages;
using testing::CrashReport;
using testing::RecordedRunClient;
using testing::ScriptedRecipe;

constexpr std::uint64_t kLast = 5;
constexpr std::uint64_t kNever = 1'000;
constexpr char kCurve[] = "logs/curve-teacher.jsonl";

/// Two files, of which one has pages and one is smaller than a sector; a step's numbers are in no other's.
RecipeState StateOf(std::uint64_t step) {
  RecipeState state;
  state.tensors["net"] = {{"weights", torch::arange(2'500).to(torch::kFloat32).add(1e4 * static_cast<double>(step))}};
  state.tensors["momentum"] = {{"weights", torch::full({4}, static_cast<double>(step))}};
  state.scalars["step"] = step;
  return state;
}

bool SameBits(const RecipeState& a, const RecipeState& b) {
  if (a.scalars != b.scalars || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [stem, tensors] : a.tensors) {
    if (!b.tensors.contains(stem) || !torch::equal(tensors[0].second, b.tensors.at(stem)[0].second)) return false;
  }
  return true;
}

class CheckpointPowerCut : public testing::JobFolderTest {
 protected:
  ~CheckpointPowerCut() override { std::filesystem::remove_all(run_); }
  RunLayout Layout() const { return RunLayout(run_); }

  /// One process of the job.
  Status Train(ScriptedRecipe& recipe, RecordedRunClient& client) const {
    const auto alone = MakeSingleCollective();
    const RunLayout layout = Layout();
    const RecipeContext context{.spec = spec_, .layout = layout, .phase = "teacher", .world = *alone, .recording = {}};
    return TrainerLoop(recipe, context, client, {}).Run();
  }

  const std::filesystem::path run_ = testing::FreshImageFolder("checkpoint-power-cut");
};

TEST_F(CheckpointPowerCut, TheNewestThatWasWrittenLoadsBitForBitAndNoDamagedOneEver) {
  const std::filesystem::path place = run_ / "checkpoints";
  CrashImages images(run_);
  {
    CheckpointWriter writer(
        [&](const SavedJob& job) { return CheckpointFolder(place).Save(job.next_step, job.state, 2); });
    for (std::uint64_t step = 1; step <= kLast; ++step) {
      ASSERT_TRUE(writer.Begin({.next_step = step, .state = StateOf(step)}).ok());
      ASSERT_TRUE(writer.Wait().ok());
      images.Acknowledge();
    }
  }
  images.Stop();
  EXPECT_TRUE(images.SawAll());
  const CrashReport report = images.Try(3, [&](int acknowledged) -> std::string {
    const auto state = CheckpointFolder(place).Newest();
    if (!state) return state.error().ToString();
    if (!*state) return acknowledged == 0 ? "" : "no checkpoint";
    const auto step = (*state)->scalars["step"].get<std::uint64_t>();
    if (step < static_cast<std::uint64_t>(acknowledged)) return "an older one: step=" + std::to_string(step);
    if (!SameBits(**state, StateOf(step))) return "other numbers: step=" + std::to_string(step);
    CheckpointFolder(place).RemoveHalfWritten();
    const Status saved = CheckpointFolder(place).Save(kLast + 1, StateOf(kLast + 1), 2);
    if (!saved.ok()) return "it does not go on: " + saved.ToString();
    return SameBits(**CheckpointFolder(place).Newest(), StateOf(kLast + 1)) ? "" : "it goes on and is not the newest";
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 600);
}

TEST_F(CheckpointPowerCut, AJobGoesOnFromWhatWasSavedToTheSameBits) {
  std::vector<std::string> digests;
  CrashImages images(run_);
  for (const std::uint64_t last : {1U, 3U, kNever}) {
    RecordedRunClient client;
    ScriptedRecipe recipe({.before = [&](std::uint64_t step) {
      client.stop = step == last;
      return Status();
    }});
    const Status status = Train(recipe, client);
    ASSERT_TRUE(status.ok() || status.exit_code() == exit_code::kTerminated) << status.ToString();
    images.Acknowledge();
    for (const JobResult& result : client.completed) digests.push_back(result.models.at(0).sha256);
  }
  images.Stop();
  ASSERT_EQ(digests.size(), 1U);
  // Figures for people are written without a sync, as a stream.
  EXPECT_TRUE(images.SawAll({kCurve}));
  const CrashReport report = images.Try(1, [&](int acknowledged) -> std::string {
    const bool finished = std::filesystem::exists(Layout().Result("teacher"));
    if (acknowledged == 3 && !finished) return "the result is lost";
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    const Status status = Train(recipe, client);
    if (!status.ok()) return status.ToString();
    if (!finished && recipe.restored_at < 2U * static_cast<std::uint64_t>(acknowledged)) {
      return "it goes on from an older one: step=" + std::to_string(recipe.restored_at);
    }
    return client.completed.at(0).models.at(0).sha256 == digests[0] ? "" : "it ends in other numbers";
  });
  EXPECT_EQ(report.broken, 0) << report.first;
  EXPECT_GT(report.images, 300);
}

// What the next process finds there may have been seen by nobody but the page cache.
TEST_F(CheckpointPowerCut, AJobThatGoesOnWhereOneWasKilledRestsOnNothingThatIsNotSynced) {
  int tried = 0;
  for (int call = 1;; ++call) {
    SCOPED_TRACE("killed at call " + std::to_string(call));
    std::filesystem::remove_all(run_);
    std::filesystem::create_directories(run_);
    CrashImages images(run_);
    const bool killed = images.Kill(call, [&] {
      RecordedRunClient client;
      ScriptedRecipe recipe({});
      (void)Train(recipe, client);
    });
    if (!killed) break;
    RecordedRunClient client;
    ScriptedRecipe recipe({});
    ASSERT_TRUE(Train(recipe, client).ok());
    images.Acknowledge();
    images.Stop();
    EXPECT_TRUE(images.SawAll({kCurve}));
    const JobResult& told = client.completed.at(0);
    const CrashReport report = images.Try(
        1,
        [&](int) -> std::string {
          const auto model = io::Sha256OfFile(Layout().root() / told.models.at(0).file);
          if (!model || *model != told.models[0].sha256) return "the model is lost";
          return std::filesystem::exists(Layout().Result("teacher")) ? "" : "the result is lost";
        },
        /*from=*/1);
    EXPECT_EQ(report.broken, 0) << report.first;
    ++tried;
  }
  EXPECT_GT(tried, 20);
}

}  // namespace
}  // namespace ferment::worker
