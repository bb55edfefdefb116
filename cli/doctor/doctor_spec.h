// SPDX-License-Identifier: Apache-2.0
//
// What `ferment doctor` looks at for one spec: whether its data can be read and its checkpoints fit.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "cli/doctor/doctor_finding.h"
#include "common/config/run_spec.h"

namespace ferment::cli {

/// What the checkpoints of a run have cost so far; zeros where it has written none.
struct CheckpointCosts {
  std::uint64_t largest_bytes = 0;
  std::chrono::duration<double> longest{0};
};

/// From the logs of a run's jobs.
CheckpointCosts ReadCheckpointCosts(const std::filesystem::path& run_dir);

/// Returns: about what a checkpoint of the spec's largest job takes: networks and optimiser in 32 bits.
std::uint64_t EstimateCheckpointBytes(const RunSpec& spec);

/// Whether a checkpoint of the run in this folder was written within the time that TERM leaves for it. Nothing where it
/// has written none.
Findings CheckKillGrace(const CheckpointCosts& costs, std::chrono::seconds grace);

/// For each data set of the spec: its index or lists read as a run reads them, and 100 pictures decoded, evenly spread.
Findings CheckData(const RunSpec& spec);

}  // namespace ferment::cli
