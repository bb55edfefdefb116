// SPDX-License-Identifier: Apache-2.0
//
// The spec's defaults, as the schema states them, and what a spec leaves to be decided.
#pragma once

#include "common/config/run_spec.h"

namespace ferment {

/// Returns: a spec in which every default is set; data.fer, data.fr, data.videos and name are absent.
RunSpec DefaultSpec();

/// Sets every absent value that has a default, also in the messages present (say, after data.fr.path was entered), and
/// resources.threads_per_rank.
void FillDefaults(RunSpec& spec);

/// Returns: whether the run renders its own sets, since data.fer, data.fr.path and data.videos are all absent.
bool UsesSyntheticSets(const RunSpec& spec);

}  // namespace ferment
