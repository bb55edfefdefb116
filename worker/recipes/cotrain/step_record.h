// SPDX-License-Identifier: Apache-2.0
//
// One step of co-training as files, so that anybody can replay it (docs/formats.md, "Recorded step").
#pragma once

#include <filesystem>
#include <vector>

#include "worker/feed/rank_sampler.h"
#include "worker/recipes/cotrain/cotrain_networks.h"
#include "worker/recipes/cotrain/cotrain_step.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// The rows of the global batch that one rank of a network sees.
struct RankRows {
  RowRange labelled;
  RowRange unlabelled;
};

/// Returns: the rows of each rank of a network that `ranks` ranks train.
std::vector<RankRows> RowsOfRanks(const RunSpec& spec, int ranks);

/// A step's figures; the rest of step.json is the spec's.
struct StepFacts {
  std::uint64_t step = 0;
  int world_size = 1;
  /// By rank of the network's group; colocated: both the same.
  std::vector<RankRows> teacher_ranks;
  std::vector<RankRows> student_ranks;
  /// Sorted.
  std::vector<std::string> weight_decay_excluded;
  CotrainRates rates;
};

/// A value: the content of the folder.
struct StepRecord {
  Json step;
  NamedTensors batch;
  NamedTensors gradients;
  CotrainState before;
  CotrainState after;
};

/// Returns: the content of step.json. Of a step that was undone: what it got to, null where that is not finite.
Json StepJson(const RunSpec& spec, const StepFacts& facts, const CotrainOutcome& outcome);

/// Writes into a folder that exists; step.json comes last. Errors: those of writing.
Status WriteStepRecord(const std::filesystem::path& folder, const StepRecord& record);

}  // namespace ferment::worker
