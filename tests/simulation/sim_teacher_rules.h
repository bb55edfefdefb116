// SPDX-License-Identifier: Apache-2.0
//
// P16 in terms of the log: bad teachers are stopped, healthy ones are not, and nobody learns from a stopped one.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/sim_log_rules.h"

namespace ferment::simulation {

std::uint64_t CommittedOf(const JobFacts& job);
/// Returns: whether its canaries are far below the floor of 0.6, and far more than are needed to see it.
bool PlainlyBad(const JobFacts& job);
/// Returns: whether its canaries are on the healthy side.
bool PlainlyHealthy(const JobFacts& job);
/// Returns: why no student may learn in this round, or "": its teacher was stopped, or should have been.
std::string UnfitTeacher(const RunFacts& run, std::uint32_t round);
/// Returns: whether a later teacher was stopped in this job's round or before.
bool MayBeLeftOut(const RunFacts& run, const JobFacts& job);

}  // namespace ferment::simulation
