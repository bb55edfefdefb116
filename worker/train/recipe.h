// SPDX-License-Identifier: Apache-2.0
//
// What a phase of training does at each step; the trainer loop does the rest.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/json.h"
#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "common/nn/tensor_io.h"
#include "worker/collective/collective.h"
#include "worker/trace/trace.h"

namespace ferment::worker {

using nn::NamedTensors;

/// Co-training only: write all that step `step` reads and makes into `folder` (docs/formats.md, "Recorded step").
struct StepRecording {
  std::uint64_t step = 0;
  std::filesystem::path folder;
};

/// What every recipe is made from. Outlives it.
struct RecipeContext {
  const RunSpec& spec;
  RunLayout layout;
  std::string phase;
  std::uint32_t round = 0;
  /// All ranks of the job. Takes buffers of `device` and of the host.
  Collective& world;
  /// Where tensors live; cpu unless the spec says cuda.
  torch::Device device = torch::kCPU;
  /// Start from fresh networks instead of the artefacts of the phase before.
  bool from_init = false;
  std::optional<StepRecording> recording;
  /// Null where no trace is wanted. Outlives the recipe.
  Trace* trace = nullptr;

  std::string job_id() const { return JobId(phase, round); }
};

/// What a job reads that may be another when it goes on, by the name that it has here: a digest in hex.
using JobInputs = std::map<std::string, std::string>;

/// What one step did, equal on all ranks.
struct StepFigures {
  /// Samples of this step, over all ranks.
  std::uint64_t samples = 0;
  /// False: a loss, a gradient, a statistic or a weight was not finite, and nothing was changed by this step.
  bool finite = true;
  /// Logged under these names: loss, lr, h, macro_f1 ...
  std::map<std::string, double> values;
  /// Reported under these names as how often each came since the process started; in no curve.
  std::vector<std::string> events = {};
  /// Versions by which the teacher of the label sets in use is behind the round's; absent where none are.
  std::optional<std::uint32_t> label_staleness = {};
};

/// All that a job needs to go on as if it had not stopped, without regard to the number of ranks.
struct RecipeState {
  /// File stem -> tensors; each becomes <stem>.safetensors of the checkpoint.
  std::map<std::string, NamedTensors> tensors;
  /// Scalars and cursors, in global samples.
  Json scalars = Json::object();
};

/// A model to publish under phases/<job>/models/<role>.safetensors.
struct NamedModel {
  std::string role;
  NamedTensors tensors;
};

/// What Finish hands to the trainer loop, which writes models, digests and result.json.
struct RecipeResult {
  std::vector<NamedModel> models;
  /// "metrics" of result.json.
  std::map<std::string, double> metrics;
  /// "evaluation" of result.json; null: the key is left out.
  Json evaluation;
};

/// One phase. The trainer loop asks rank 0 for Inputs. Then every rank makes the same calls: Prepare, Restore if there
/// is a checkpoint, Step(s) for s in order up to total_steps(), and Finish. State is asked for between steps; rank 0's
/// is saved.
///
/// Thread: the loop's. Exceptions of LibTorch may pass through Step: the loop stops them.
class Recipe {
 public:
  virtual ~Recipe() = default;
  /// Returns: those that are there; Prepare says what is missing. Work that was begun from others is not gone on with.
  virtual JobInputs Inputs() const = 0;
  /// Loads data and networks. Errors: NotFound, DataLoss, InvalidArgument (64) naming what the spec must say.
  virtual Status Prepare() = 0;
  /// Returns: number of steps; 0 is allowed. Requires: Prepare.
  virtual std::uint64_t total_steps() const = 0;
  virtual Result<StepFigures> Step(std::uint64_t step) = 0;
  /// Returns: the state after the steps made so far.
  virtual Result<RecipeState> State() const = 0;
  /// Goes on from `state`, of which `next_step` steps were made.
  virtual Status Restore(const RecipeState& state, std::uint64_t next_step) = 0;
  /// After a step that was not finite, and before any other: writes what it read into `folder`, for a replay. Every
  /// rank is called. Returns: whether this recipe has a form for that. Errors: those of writing.
  virtual Result<bool> RecordUndone(const std::filesystem::path& /*folder*/) { return false; }
  /// Last figures and what is to be published. Every rank is called; rank 0's models are written.
  virtual Result<RecipeResult> Finish() = 0;
};

}  // namespace ferment::worker
