// SPDX-License-Identifier: Apache-2.0
//
// Which unlabelled faces co-training draws, and which label sets it draws them by.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "worker/feed/face_stream.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: the job that published the teacher of this round.
std::string TeacherJobOf(std::uint32_t round);

/// Returns: what this round starts from, the list that it learns from, and the label config of the label sets that it
/// would take. Not their digests: without a coordinator a labeler may go on between two attempts of a job, which shall
/// keep its checkpoints. With --from-init neither networks nor labels of other jobs.
JobInputs CotrainInputs(const RecipeContext& context);

struct UnlabelledFaces {
  std::unique_ptr<FaceStream> stream;
  /// Versions by which the teacher whose label sets are drawn by, or learnt, is behind the round's; absent where faces
  /// are drawn without label sets.
  std::optional<std::uint32_t> staleness;
};

/// Returns: data.fr's stream by cotrain.pseudo_label. Label sets are those of the spec's label config by this round's
/// teacher, or by one that is at most cotrain.max_teacher_lag older; --from-init means fr_sampling uniform. Errors:
/// FailedPrecondition (65) where label sets are needed and there are none, naming those of other settings or teachers,
/// or where one has a record that data.fr has not; InvalidArgument (64) for
/// --from-init with offline labels; those of the source.
Result<UnlabelledFaces> OpenUnlabelledStream(const RecipeContext& context);

}  // namespace ferment::worker
