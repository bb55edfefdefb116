// SPDX-License-Identifier: Apache-2.0
//
// What a job reads of files that no job has made and that may change under their names: its inputs too.
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_list.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: "model.init" with the file's SHA-256; nothing where weights are drawn, or the file cannot be read.
JobInputs InitialWeights(const RunSpec& spec);

/// Returns: "data.fer.train" or "data.fer.validation", and "data.fer[1].train" ..., with the SHA-256 of each source's
/// list; sources without one, or whose list cannot be read, are left out. What the pictures show is not looked at
/// (docs/decisions/0054-old-state-is-not-taken-for-new.md).
JobInputs FaceLists(const RunSpec& spec, dataset::FaceSplit split);

}  // namespace ferment::worker
