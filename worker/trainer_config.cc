// SPDX-License-Identifier: Apache-2.0
#include "worker/trainer_config.h"

#include "worker/recipes/cotrain/cotrain_recipe.h"
#include "worker/recipes/cotrain/step_recorder.h"
#include "worker/recipes/evaluation/evaluate_recipe.h"
#include "worker/recipes/finetune_recipe.h"
#include "worker/recipes/teacher_recipe.h"
#include "worker/recipes/temporal_recipe.h"

namespace ferment::worker {
namespace {

/// Another round would be trained, and nothing would read it.
Status CheckRound(const RecipeContext& context) {
  const std::uint32_t rounds = context.phase == "cotrain" ? context.spec.cotrain().rounds() : 1;
  if (context.round < rounds) return {};
  return InvalidArgumentError("--round: must be a whole number from 0 to " + std::to_string(rounds - 1) + " of phase " +
                              context.phase + ": " + std::to_string(context.round))
      .WithExitCode(exit_code::kBadSpec);
}

}  // namespace

Result<std::unique_ptr<Recipe>> MakeRecipe(const RecipeContext& context) {
  FERMENT_RETURN_IF_ERROR(CheckRound(context));
  FERMENT_RETURN_IF_ERROR(CheckRecordable(context));
  if (context.phase != "cotrain" && context.from_init)
    return Fail(InvalidArgumentError("--from-init is for co-training: phase=" + context.phase)
                    .WithExitCode(exit_code::kBadSpec));
  if (context.phase == "teacher") return MakeTeacherRecipe(context);
  if (context.phase == "cotrain") return MakeCotrainRecipe(context);
  if (context.phase == "finetune") return MakeFinetuneRecipe(context);
  if (context.phase == "temporal") return MakeTemporalRecipe(context);
  if (context.phase == "evaluate") return MakeEvaluateRecipe(context);
  return Fail(
      InvalidArgumentError("not a phase that a trainer runs: " + context.phase).WithExitCode(exit_code::kBadSpec));
}

}  // namespace ferment::worker
