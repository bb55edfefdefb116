// SPDX-License-Identifier: Apache-2.0
#include "worker/trainer_config.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "worker/recipes/cotrain_recipe.h"
#include "worker/recipes/evaluate_recipe.h"
#include "worker/recipes/finetune_recipe.h"
#include "worker/recipes/teacher_recipe.h"
#include "worker/recipes/temporal_recipe.h"

namespace ferment::worker {

TrainerArguments ParseTrainerArguments(int argc, char** argv) {
  TrainerConfig config;
  CLI::App app("Trains one phase of a run; start it under mpirun for several ranks.", "ferment-trainer");
  app.add_option("--spec", config.spec, "the run's spec")->required();
  app.add_option("--run-dir", config.run_dir, "folder of the run: where artefacts are read from and written to")->required();
  app.add_option("--phase", config.phase, "what to train")->required()->check(CLI::IsMember({"teacher", "cotrain", "finetune", "temporal", "evaluate"}));
  app.add_option("--round", config.round, "round of co-training, from 0");
  app.add_option("--coordinator", config.coordinator, "HOST:PORT of the coordinator that runs this job; without it the trainer works alone");
  app.add_option("--run-id", config.run_id, "the run, as the coordinator names it");
  app.add_option("--attempt", config.attempt, "attempt of the job, from 1");
  app.add_option("--set", config.overrides, "KEY=VALUE over the spec's value; may be repeated")->allow_extra_args(false);
  app.add_flag("--from-init", config.from_init, "start co-training from fresh networks instead of the teacher phase's");
  StepRecording recording;
  auto* step = app.add_option("--record-step", recording.step, "co-training: write all that this step reads and makes");
  auto* folder = app.add_option("--record-dir", recording.folder, "where --record-step writes");
  step->needs(folder);
  folder->needs(step);
  app.footer("Signals: USR1 writes a checkpoint; USR2 and TERM write one and end with 143.");
  TrainerArguments arguments;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    arguments.exit_code = app.exit(error, out, out) == 0 ? exit_code::kOk : exit_code::kUsage;
    arguments.text = out.str();
    return arguments;
  }
  if (step->count() > 0) config.recording = recording;
  arguments.config = std::move(config);
  return arguments;
}

Result<std::unique_ptr<Recipe>> MakeRecipe(const RecipeContext& context) {
  if (context.phase != "cotrain" && (context.from_init || context.recording)) {
    return Fail(InvalidArgumentError("--from-init and --record-step are for co-training: phase=" + context.phase).WithExitCode(exit_code::kBadSpec));
  }
  if (context.phase == "teacher") return MakeTeacherRecipe(context);
  if (context.phase == "cotrain") return MakeCotrainRecipe(context);
  if (context.phase == "finetune") return MakeFinetuneRecipe(context);
  if (context.phase == "temporal") return MakeTemporalRecipe(context);
  if (context.phase == "evaluate") return MakeEvaluateRecipe(context);
  return Fail(InvalidArgumentError("not a phase that a trainer runs: " + context.phase).WithExitCode(exit_code::kBadSpec));
}

}  // namespace ferment::worker
