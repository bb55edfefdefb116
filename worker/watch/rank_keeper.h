// SPDX-License-Identifier: Apache-2.0
//
// Stands between mpirun and a rank, so that the job of a rank that was killed ends with our exit code.
#pragma once

#include <string>

namespace ferment::worker {

/// Forks: returns in the child, which is the rank from here on. The parent keeps nothing but its place as mpirun's
/// child and never returns: it leaves with the rank's exit code, and with 201 where a signal ended the rank. mpirun
/// returns the code of the first child it saw leave, which for a killed rank would be 137, or not, as the race goes.
///
/// Both are in one process group, so signals that mpirun passes on reach the rank; the keeper itself heeds only TERM
/// (it stops waiting for the others to speak first). The rank is killed when the keeper is, and when mpirun is. The
/// keeper calls itself `ferment-keeper`.
///
/// Requires: this process has one thread. Call before MPI_Init. Where no process can be made, returns in the parent:
/// the rank runs without one.
void StandBehindKeeper(int argc, char** argv, const std::string& job, int rank);

/// For the one rank of a job, which has no keeper: from here on it is killed when mpirun is. It could otherwise tell
/// the next coordinator of an end that was the former one's.
void EndWithLauncher();

}  // namespace ferment::worker
