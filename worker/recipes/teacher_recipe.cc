// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/teacher_recipe.h"

#include "worker/recipes/face_network.h"
#include "worker/recipes/read_files.h"
#include "worker/recipes/supervised_recipe.h"

namespace ferment::worker {

std::unique_ptr<Recipe> MakeTeacherRecipe(const RecipeContext& context) {
  const auto& teacher = context.spec.teacher();
  SupervisedPlan plan;
  plan.batch = teacher.batch();
  plan.batch_key = "teacher.batch";
  plan.schedule = {.base = teacher.lr(), .total_steps = teacher.steps(), .warmup_steps = teacher.warmup_steps()};
  plan.optimizer = {
      .momentum = teacher.momentum(), .nesterov = teacher.nesterov(), .weight_decay = teacher.weight_decay()};
  plan.label_smoothing = teacher.label_smoothing();
  plan.subjects = {{"teacher", [&context] { return MakeInitialNetwork(context, 0, torch::kFloat32); }}};
  plan.inputs = [&context] {
    JobInputs inputs = FaceLists(context.spec, dataset::FaceSplit::kTrain);
    inputs.merge(InitialWeights(context.spec));
    return inputs;
  };
  return MakeSupervisedRecipe(context, std::move(plan));
}

}  // namespace ferment::worker
