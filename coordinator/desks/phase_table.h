// SPDX-License-Identifier: Apache-2.0
//
// The text of a run's phases.json, which the report reads.
#pragma once

#include <string>

#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

/// Returns: {"status", "seed", "phases": [...]}; a run whose jobs have all ended already has the status that it will
/// end with. Changes only with the state of a job.
std::string PhaseTableText(const Run& run, std::uint64_t seed);

}  // namespace ferment::coordinator
