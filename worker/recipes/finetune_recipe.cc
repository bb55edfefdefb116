// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/finetune_recipe.h"

#include "worker/recipes/face_network.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/read_files.h"
#include "worker/recipes/supervised_recipe.h"

namespace ferment::worker {
namespace {

/// Share of the steps that warm up: the networks are trained already.
constexpr std::uint64_t kWarmupShare = 10;

Result<std::shared_ptr<nn::Backbone>> Published(const RecipeContext& context, const ModelToRead& model) {
  FERMENT_ASSIGN_OR_RETURN(const auto models, PublishedModels::Read(context.layout, model.job_id));
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors weights, models.Load(model.role));
  return MakeNetwork(context, weights, torch::kFloat32);
}

}  // namespace

std::unique_ptr<Recipe> MakeFinetuneRecipe(const RecipeContext& context) {
  const auto& teacher = context.spec.teacher();
  const auto& finetune = context.spec.finetune();
  SupervisedPlan plan;
  plan.batch = finetune.batch();
  plan.batch_key = "finetune.batch";
  plan.schedule = {
      .base = finetune.lr(), .total_steps = finetune.steps(), .warmup_steps = finetune.steps() / kWarmupShare};
  plan.optimizer = {
      .momentum = teacher.momentum(), .nesterov = teacher.nesterov(), .weight_decay = teacher.weight_decay()};
  plan.label_smoothing = teacher.label_smoothing();
  plan.publish_best = ReportsBest(context.spec);
  const std::vector<ModelToRead> models = {{"student", LastCotrain(context.layout, context.spec), "student"},
                                           {"baseline", JobId("teacher"), "teacher"}};
  for (const ModelToRead& model : models)
    plan.subjects.push_back({model.name, [&context, model] { return Published(context, model); }});
  plan.inputs = [&context, models, best = plan.publish_best] {
    JobInputs inputs = PublishedOf(context.layout, models);
    inputs.merge(FaceLists(context.spec, dataset::FaceSplit::kTrain));
    if (best) inputs.merge(FaceLists(context.spec, dataset::FaceSplit::kValidation));
    return inputs;
  };
  return MakeSupervisedRecipe(context, std::move(plan));
}

}  // namespace ferment::worker
