// SPDX-License-Identifier: Apache-2.0
#include "worker/rank_discovery.h"

#include <gtest/gtest.h>

#include <map>

namespace ferment::worker {
namespace {

Result<RankPlace> In(std::map<std::string, std::string> environment) {
  return DiscoverRank(
      [&](const std::string& name) { return environment.contains(name) ? environment[name] : std::string(); });
}

TEST(RankDiscovery, TakesOpenMpiBeforeSlurm) {
  const auto place = In({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"SLURM_PROCID", "9"}});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->source, "OMPI_COMM_WORLD_RANK");
  EXPECT_EQ(place->rank, 2);
  EXPECT_EQ(place->size, 4);
  EXPECT_TRUE(place->mpi);
}

TEST(RankDiscovery, IsASingleProcessWhereNobodySaysOtherwise) {
  const auto place = In({});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->size, 1);
  EXPECT_FALSE(place->mpi);
}

TEST(RankDiscovery, RefusesSeveralRanksWithoutMpiAndTextThatIsNoNumber) {
  EXPECT_EQ(ProcessExitCode(In({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).error()), exit_code::kMissingService);
  EXPECT_EQ(ProcessExitCode(In({{"OMPI_COMM_WORLD_RANK", "x"}}).error()), exit_code::kBadSpec);
}

}  // namespace
}  // namespace ferment::worker
