// SPDX-License-Identifier: Apache-2.0
//
// The evaluation: static faces and videos, with and without semi-supervision, encoder and smoothing; export and
// submission.
#pragma once

#include <memory>

#include "worker/train/recipe.h"

namespace ferment::worker {

/// Trains nothing. A step is one batch of validation faces of one network (rows split over ranks, probabilities added),
/// or one network's videos (every rank by itself: they are cheap). Finish puts the figures into result.json's
/// "evaluation", marked as optimistic where evaluate.select chose networks by them, and, on rank 0, writes
/// evaluation/*.csv, export/ and submission/. Evaluation is plain float32.
std::unique_ptr<Recipe> MakeEvaluateRecipe(const RecipeContext& context);

}  // namespace ferment::worker
