// SPDX-License-Identifier: Apache-2.0
#include "worker/rank_discovery.h"

#include <charconv>

namespace ferment::worker {
namespace {

struct Names {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
  bool mpi;
};

constexpr Names kLaunchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", true},
    {"PMIX_RANK", "", "", "", true},
    {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "", true},
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", false},
    {"JOB_COMPLETION_INDEX", "", "", "", false},
};

}  // namespace

Result<RankPlace> DiscoverRank(const std::function<std::string(const std::string&)>& variable) {
  const auto number = [&](const char* name, int otherwise) -> Result<int> {
    const std::string text = *name == '\0' ? "" : variable(name);
    if (text.empty()) return otherwise;
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) {
      return Fail(InvalidArgumentError("not a rank or a count of ranks: " + std::string(name) + "=" + text)
                      .WithExitCode(exit_code::kBadSpec));
    }
    return value;
  };
  for (const Names& names : kLaunchers) {
    if (variable(names.rank).empty()) continue;
    RankPlace place;
    place.source = names.rank;
    place.mpi = names.mpi;
    FERMENT_ASSIGN_OR_RETURN(place.rank, number(names.rank, 0));
    FERMENT_ASSIGN_OR_RETURN(place.size, number(names.size, 1));
    FERMENT_ASSIGN_OR_RETURN(place.local_rank, number(names.local_rank, 0));
    FERMENT_ASSIGN_OR_RETURN(place.local_size, number(names.local_size, 1));
    if (!place.mpi && place.size > 1) {
      return Fail(FailedPreconditionError("several ranks need mpirun or srun: " + std::string(names.rank) +
                                          " says rank " + std::to_string(place.rank) + " of " +
                                          std::to_string(place.size))
                      .WithExitCode(exit_code::kMissingService));
    }
    return place;
  }
  return RankPlace();
}

}  // namespace ferment::worker
