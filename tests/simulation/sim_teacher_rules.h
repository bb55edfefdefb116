// SPDX-License-Identifier: Apache-2.0
//
// P10 and P16 in terms of the log: bad teachers are stopped, healthy ones are not, and nobody learns from a stopped
// one, nor from one of an earlier round.
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
/// Returns: the digest of the teacher that this round's labels must be by, or "" where it has none yet.
std::string TeacherOf(const RunFacts& run, std::uint32_t round);
/// Returns: why a student of this round would learn from labels that are not all of its round's teacher, or "". A
/// trainer that finds none of them may take older ones (cotrain.max_teacher_lag); a coordinator never lets it.
std::string StaleLabels(const RunFacts& run, std::uint32_t round);
/// Returns: whether a later teacher was stopped in this job's round or before.
bool MayBeLeftOut(const RunFacts& run, const JobFacts& job);

}  // namespace ferment::simulation
