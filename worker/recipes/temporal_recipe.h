// SPDX-License-Identifier: Apache-2.0
//
// The temporal phase: trains an encoder over windows of frozen features, and its per-frame counterpart, for both
// networks.
#pragma once

#include <memory>

#include "worker/train/recipe.h"

namespace ferment::worker {

/// Trains four encoders one after another, `temporal.steps` each: {student, teacher's} features x {the spec's kind,
/// none}. All see the same windows; the loss is cross entropy over labelled frames with a face, weighted by
/// 1/sqrt(class frequency). Data-parallel: a rank takes its rows of each batch, gradients are summed. Publishes
/// `temporal_<features>_<encoder>`: the last, or, by evaluate.select, each at its best validation.
std::unique_ptr<Recipe> MakeTemporalRecipe(const RecipeContext& context);

}  // namespace ferment::worker
