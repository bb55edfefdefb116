// SPDX-License-Identifier: Apache-2.0
//
// A recipe of four numbers whose steps fail, or are not finite, where a test says so.
#pragma once

#include <cmath>
#include <functional>
#include <set>

#include "worker/train/recipe.h"

namespace ferment::testing {

/// Every step pulls the weights towards a target of its own, with momentum: the outcome depends on every step, their
/// order, and both tensors.
class ScriptedRecipe : public worker::Recipe {
 public:
  struct Script {
    std::uint64_t steps = 6;
    /// Steps whose loss is not finite.
    std::set<std::uint64_t> nonfinite = {};
    /// What every step says besides.
    worker::StepFigures figures = {};
    /// What it says that it reads.
    worker::JobInputs inputs = {};
    /// What Prepare answers.
    Status refusal = {};
    /// What Restore answers.
    Status unfit = {};
    /// Called before a step; its failure is the step's.
    std::function<Status(std::uint64_t step)> before = [](std::uint64_t) { return Status(); };
  };
  explicit ScriptedRecipe(Script script) : script_(std::move(script)) {}

  worker::JobInputs Inputs() const override { return script_.inputs; }
  Status Prepare() override {
    ++prepared;
    weights_ = torch::zeros({4});
    momentum_ = torch::zeros({4});
    return script_.refusal;
  }
  std::uint64_t total_steps() const override { return script_.steps; }
  Result<worker::StepFigures> Step(std::uint64_t step) override {
    FERMENT_RETURN_IF_ERROR(script_.before(step));
    made.push_back(step);
    worker::StepFigures figures = script_.figures;
    figures.samples = 8;
    figures.finite = !script_.nonfinite.contains(step);
    figures.values["loss"] = figures.finite ? 1.0 / static_cast<double>(step + 1) : std::nan("");
    if (!figures.finite) return figures;
    const torch::Tensor target = torch::arange(4).to(torch::kFloat32).add(static_cast<double>(step)).sin();
    momentum_.mul_(0.9).add_(weights_ - target);
    weights_.sub_(momentum_, 0.1);
    return figures;
  }
  Result<worker::RecipeState> State() const override {
    worker::RecipeState state;
    state.tensors["net"] = {{"weights", weights_}, {"momentum", momentum_}};
    state.scalars["steps_made"] = made.size();
    return state;
  }
  Status Restore(const worker::RecipeState& state, std::uint64_t next_step) override {
    restored_at = next_step;
    for (const auto& [name, tensor] : state.tensors.at("net")) (name == "weights" ? weights_ : momentum_).copy_(tensor);
    return script_.unfit;
  }
  Result<worker::RecipeResult> Finish() override {
    ++finished;
    worker::RecipeResult result;
    result.models.push_back({"net", {{"weights", weights_}}});
    result.metrics["first_weight"] = weights_[0].item<double>();
    return result;
  }

  int prepared = 0;
  int finished = 0;
  std::vector<std::uint64_t> made;
  std::uint64_t restored_at = 0;

 private:
  const Script script_;
  torch::Tensor weights_, momentum_;
};

}  // namespace ferment::testing
