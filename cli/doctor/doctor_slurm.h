// SPDX-License-Identifier: Apache-2.0
//
// What `ferment doctor` looks at for a spec whose trainers Slurm starts.
#pragma once

#include "cli/doctor/doctor_finding.h"
#include "common/config/run_spec.h"

namespace ferment::cli {

/// Whether Slurm's programs are here, its controller answers, and it would take a job of the spec's ranks and threads.
/// Submits nothing.
Findings CheckSlurm(const RunSpec& spec);

}  // namespace ferment::cli
