// SPDX-License-Identifier: Apache-2.0
//
// The finetune phase: a supervised finish of the averaged student, and of the teacher phase's network as its baseline.
#pragma once

#include <memory>

#include "worker/train/recipe.h"

namespace ferment::worker {

/// Both networks see the same batches under the same schedule, so that what differs is the semi-supervised phase.
/// Momentum, weight decay and label smoothing are the teacher phase's. Publishes `student` and `baseline`: the last,
/// or, by evaluate.select, each at its best validation.
std::unique_ptr<Recipe> MakeFinetuneRecipe(const RecipeContext& context);

}  // namespace ferment::worker
