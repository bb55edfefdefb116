// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "labeler/grpc_lease_client.h"
#include "tests/cluster/lease_cluster_fixture.h"

namespace ferment::testing {
namespace {

/// Runs whose specs a labeler keeps, so that they need not travel with each lease.
class KnownRuns : public LeaseCluster {
 protected:
  /// As where an operator puts another store, or an empty one, under a coordinator's address.
  void RestartOnAnotherLog() {
    cluster_.StopCoordinator();
    cluster_.world().log = std::make_shared<MemoryLog>();
    cluster_.world().launcher.Forget("teacher/1");
    cluster_.StartCoordinator();
  }
  /// Returns: the threshold that the labeler works by.
  double ThresholdOf(labeler::LeaseClient& client) {
    const auto offer = client.Take();
    EXPECT_TRUE(offer) << offer.error().ToString();
    if (!offer || offer->leases.empty()) return -1;
    EXPECT_EQ(offer->leases[0].key.run_id, run_id_);
    return offer->leases[0].spec->labeling().threshold();
  }
};

TEST_F(KnownRuns, OfAnotherLogAreOthersThoughTheyBearTheSameNames) {
  const auto client = *labeler::MakeGrpcLeaseClient(cluster_.address(), {}, {"labeler", "1", "avx2", ""}, {});
  spec_.mutable_labeling()->set_threshold(0.9);
  StartLabelling();
  const std::string first = run_id_;
  EXPECT_EQ(ThresholdOf(*client), 0.9);

  RestartOnAnotherLog();
  spec_.mutable_labeling()->set_threshold(0.2);
  StartLabelling();
  ASSERT_EQ(run_id_, first);
  EXPECT_EQ(ThresholdOf(*client), 0.2);
}

}  // namespace
}  // namespace ferment::testing
