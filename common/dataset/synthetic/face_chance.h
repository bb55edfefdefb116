// SPDX-License-Identifier: Apache-2.0
//
// Chance behind rendered faces: who there is, what their faces do, and how the snapshot turns out.
#pragma once

#include <cstdint>

#include "common/base/random.h"
#include "common/dataset/synthetic/synthetic_faces.h"

namespace ferment::dataset {

/// Returns: person `index` of the world `seed`.
FaceIdentity DrawIdentity(std::uint64_t seed, std::uint64_t index);

/// Returns: the units that show expression `label` (ABAW's order) at `intensity` 0..1, with a personal choice among the
/// label's usual combinations, uneven strengths and stray units.
Expression DrawExpression(RandomSequence& random, int label, double intensity);

/// Returns: pose, light, camera and background of a chance snapshot; the expression is left at rest.
FaceShot DrawShot(RandomSequence& random);

}  // namespace ferment::dataset
