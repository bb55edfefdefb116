// SPDX-License-Identifier: Apache-2.0
//
// Watches co-training for the one step that is to be recorded, and has rank 0 write it.
#pragma once

#include "worker/recipes/cotrain/step_record.h"

namespace ferment::worker {

/// Errors: InvalidArgument (64) where the step that is to be recorded does not come, or cannot be written in a form
/// that a replay knows.
Status CheckRecordable(const RecipeContext& context);
/// Errors: InvalidArgument (64) where the replay does not know this spec's steps.
Status CheckReplayable(const RunSpec& spec);

/// What the recorder asks of a step that has been made. References to this rank's rows, and to what all ranks share.
struct MadeStep {
  const CotrainBatch& batch;
  /// Of the unlabelled rows.
  const std::vector<std::uint64_t>& keys;
  const CotrainOutcome& outcome;
  /// Raw gradients by name, teacher.<parameter> and student.<parameter>.
  NamedTensors gradients;
  StepFacts facts;
  const CotrainPlacement& placement;
};

/// Every rank makes the same calls. Thread: the collective's. The context outlives it.
class StepRecorder {
 public:
  /// Requires: the context has a recording.
  explicit StepRecorder(const RecipeContext& context) : StepRecorder(context, *context.recording) {}
  StepRecorder(const RecipeContext& context, StepRecording recording)
      : context_(context), recording_(std::move(recording)) {}

  /// An earlier record in it is no longer whole. Errors: those of making it, on every rank.
  Status MakeFolder() const;

  bool Wants(std::uint64_t step) const { return step == recording_.step; }
  /// Before the step.
  void Begin(const CotrainState& state);
  /// After it. Errors: DataLoss (65) where the step was not finite, for then nothing was changed; those of writing and
  /// of the collective.
  Status End(const MadeStep& made, const CotrainState& state);
  /// All at once, for a step that was not finite and has been undone: `state` is before and after.
  Status RecordUndone(const MadeStep& made, const CotrainState& state);

 private:
  Status Write(const MadeStep& made, const CotrainState& state);
  Result<NamedTensors> GatherBatch(const MadeStep& made) const;

  const RecipeContext& context_;
  const StepRecording recording_;
  StepRecord record_;
};

}  // namespace ferment::worker
