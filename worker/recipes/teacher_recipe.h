// SPDX-License-Identifier: Apache-2.0
//
// The teacher phase: the first teacher, from labelled faces alone.
#pragma once

#include <memory>

#include "worker/train/recipe.h"

namespace ferment::worker {

/// Publishes `teacher`.
std::unique_ptr<Recipe> MakeTeacherRecipe(const RecipeContext& context);

}  // namespace ferment::worker
