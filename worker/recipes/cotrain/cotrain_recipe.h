// SPDX-License-Identifier: Apache-2.0
//
// The cotrain phase: teacher and student learn together, batch by batch.
#pragma once

#include <memory>

#include "worker/train/recipe.h"

namespace ferment::worker {

/// Round 0 starts from the teacher phase's network, a later round from the networks that the round before published.
/// Publishes `teacher`, `student` (the average) and `student_raw`.
std::unique_ptr<Recipe> MakeCotrainRecipe(const RecipeContext& context);

}  // namespace ferment::worker
