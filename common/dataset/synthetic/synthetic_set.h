// SPDX-License-Identifier: Apache-2.0
//
// Rendered data sets in the very files that a user has: labelled faces, an unlabelled FR pack, labelled videos.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>

#include "common/base/result.h"
#include "common/config/run_spec.h"

namespace ferment::dataset {

/// Renders `fer/` (images/, train.csv, val.csv: path,class,name), `fr/` (train.rec, train.idx, property, and beside
/// them fr_truth.csv: key,class,name,identity) and `videos/` (an Aff-Wild2 tree with truth.csv) into `out`, sizes by
/// data.synthetic, everything by the seed. No person is in two of fer/train, fer/val, fr, videos' train, validation and
/// test. manifest.json comes last; a call that finds it with the same seed and sizes does nothing, one that finds
/// another empties the folder first. Errors: InvalidArgument (exit 64) for sizes out of range; those of writing files;
/// Cancelled once `stop` is requested, by the next picture.
Status RenderSyntheticSets(const RunSpec& spec, const std::filesystem::path& out, const std::stop_token& stop = {});

/// Enters the rendered sets in data.fer, data.fr, data.videos and labeling.truth, with absolute paths.
void UseSyntheticSets(RunSpec& spec, const std::filesystem::path& out);

/// Returns: whether the spec names no data at all, so that rendered sets stand in.
bool WantsSyntheticSets(const RunSpec& spec);

}  // namespace ferment::dataset
