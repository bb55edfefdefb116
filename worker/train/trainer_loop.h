// SPDX-License-Identifier: Apache-2.0
//
// Runs a recipe from its first step, or its last checkpoint, to its published result.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "worker/curve/curve_writer.h"
#include "worker/run_client.h"
#include "worker/tensorboard/tensorboard_writer.h"
#include "worker/train/checkpoint_writer.h"
#include "worker/train/job_state.h"
#include "worker/train/process_usage.h"
#include "worker/train/recipe.h"
#include "worker/watch/rank_board.h"

namespace ferment::worker {

struct TrainerLoopOptions {
  std::uint64_t checkpoint_every = 100;
  /// Steps that were not finite, and so undone, past which the job stops.
  std::uint64_t max_nonfinite = 10;
  /// Least time between two progress reports, and between two log lines.
  std::chrono::milliseconds report_every{1000};
  std::chrono::milliseconds log_every{10'000};
  /// Told of what goes on; null where nobody watches. Outlives the loop.
  RankBoard* board = nullptr;
};

/// One job of all ranks. Checkpoints, curve (also for TensorBoard) and result are written by rank 0; the others wait
/// where they must. A checkpoint that is due while the one before is still being written is taken at the first step
/// after it; the last one, and that of a stop, are waited for. One that cannot be written ends the job (204). The curve
/// has the steps that a checkpoint counts before it is there, unless its disk takes longer than two seconds for them.
///
/// Thread: the one that made the collective. All references outlive it.
class TrainerLoop {
 public:
  TrainerLoop(Recipe& recipe, const RecipeContext& context, RunClient& client, const TrainerLoopOptions& options);

  /// Returns the same on every rank: ok when the result is published; Cancelled (143) after a checkpoint that TERM,
  /// USR2 or the coordinator asked for; Aborted (202) when the job is another process's; Unavailable (201) when ranks
  /// have read different checkpoints; DataLoss (65) past max_nonfinite; the recipe's errors. An error that only one
  /// rank has met ends in Collective::Abort.
  Status Run();

 private:
  enum class Wish { kGoOn, kCheckpoint, kStop, kFenced, kGiveUp };

  Status Prepare();
  Status Train();
  /// What the signals, the coordinator and the disk want, agreed on by all ranks.
  Result<Wish> AgreeOnWish();
  Status Account(std::uint64_t step, const StepFigures& figures);
  /// Has the step recorded. Returns: what ends the job.
  Status TooManyNonfinite(std::uint64_t step);
  /// Has the state of now written, unless it is.
  Status Save();
  /// Returns: the outcome of writing, on every rank, once nothing is being written.
  Status AwaitSaved();
  Status Finish();
  JobProgress Progress() const;
  Result<StepFigures> GuardedStep(std::uint64_t step);
  bool leads() const { return context_.world.rank() == 0; }
  void Enter(Activity activity) const {
    if (options_.board != nullptr) options_.board->Enter(activity);
  }

  Recipe& recipe_;
  const RecipeContext& context_;
  RunClient& client_;
  const TrainerLoopOptions options_;
  JobState files_;
  /// Rank 0 only. The checkpoint writer's thread waits for the curve.
  std::optional<CurveWriter> curve_;
  std::optional<TensorboardWriter> tensorboard_;
  std::optional<CheckpointWriter> writer_;
  bool checkpoint_due_ = false;
  bool finished_before_ = false;
  std::uint64_t next_step_ = 0;
  std::uint64_t samples_ = 0;
  std::uint64_t nonfinite_ = 0;
  std::uint64_t saved_step_ = ~std::uint64_t{0};
  /// Last value of every figure, and number of every event, for reports.
  std::map<std::string, double> figures_;
  std::map<std::string, metrics::Distribution> distributions_;
  std::chrono::steady_clock::time_point reported_;
  std::chrono::steady_clock::time_point logged_;
  std::uint64_t logged_samples_ = 0;
};

}  // namespace ferment::worker
