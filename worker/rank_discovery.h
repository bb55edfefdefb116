// SPDX-License-Identifier: Apache-2.0
//
// Which rank this process is, as its launcher says in the environment.
#pragma once

#include <functional>
#include <string>

#include "common/base/result.h"

namespace ferment::worker {

struct RankPlace {
  /// The variable that said so, such as "OMPI_COMM_WORLD_RANK"; "single process" if none did.
  std::string source = "single process";
  int rank = 0;
  int size = 1;
  int local_rank = 0;
  int local_size = 1;
  /// Whether a launcher that MPI can talk to started this process.
  bool mpi = false;
};

/// The first that is set wins: OMPI_COMM_WORLD_*, PMIX_RANK, SLURM_PROCID, RANK (torchrun), JOB_COMPLETION_INDEX.
/// `variable` returns a variable's text, empty where it is not set.
/// Errors: InvalidArgument (64) for text that is no number; FailedPrecondition (69) for several ranks without MPI.
Result<RankPlace> DiscoverRank(const std::function<std::string(const std::string&)>& variable);

}  // namespace ferment::worker
