// SPDX-License-Identifier: Apache-2.0
//
// What a trainer is told on its command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/spec_loader.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

struct TrainerConfig {
  std::filesystem::path spec;
  std::filesystem::path run_dir;
  /// teacher, cotrain, finetune, temporal or evaluate.
  std::string phase;
  /// From 0; only cotrain has several.
  std::uint32_t round = 0;
  /// HOST:PORT; empty: nobody runs this job, and it finds the artefacts of earlier ones by their names in run_dir.
  std::string coordinator;
  std::string run_id;
  /// From 1.
  std::uint32_t attempt = 1;
  /// KEY=VALUE, each.
  std::vector<std::string> overrides;
  bool from_init = false;
  std::optional<StepRecording> recording;
  /// Where a timeline of all ranks is written; empty: none is kept.
  std::filesystem::path trace;
};

/// What argv asks for: a job, or only to print `text` and leave with `exit_code`.
struct TrainerArguments {
  std::optional<TrainerConfig> config;
  std::string text;
  int exit_code = 0;
};

/// Returns: the recipe of the context's phase. Errors: InvalidArgument (64) for a phase that trains nothing, and
/// for a recording that phase or spec do not allow.
Result<std::unique_ptr<Recipe>> MakeRecipe(const RecipeContext& context);

}  // namespace ferment::worker
