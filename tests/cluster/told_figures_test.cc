// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "labeler/grpc_lease_client.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "worker/grpc_run_client.h"

namespace ferment::testing {
namespace {

using ::testing::HasSubstr;

class ToldFigures : public LeaseCluster {
 protected:
  bool Shows(const std::string& text) {
    return Eventually([&] { return cluster_.Exposition().find(text) != std::string::npos; });
  }
  double Moved(const std::string& rank) const {
    return cluster_.Gauge("ferment_rank_last_progress_timestamp_seconds", {{"rank", rank}});
  }
};

TEST_F(ToldFigures, ATrainersCountsAreServedAndItsRanksAlsoWhileItsLoopIsSilent) {
  StartRun();
  const auto client = worker::MakeGrpcRunClient(
      {.coordinator = cluster_.address(), .run_id = run_id_, .job_id = "teacher", .run_dir = "/runs/small"});
  ASSERT_TRUE(client->Acquire().ok());
  client->ReportRanks({0, 0});  // before the first step
  worker::JobProgress progress{.step = 1, .total_steps = 10, .metrics = {{"feedback_dropped_undone", 2}}};
  metrics::Distribution& steps = progress.distributions["step_seconds"];
  steps.Observe(0.03, metrics::kStepSecondsBounds);
  client->Report(progress);
  EXPECT_TRUE(Shows("ferment_train_step_duration_seconds_bucket{phase=\"teacher\",le=\"0.05\"} 1\n"));
  EXPECT_THAT(cluster_.Exposition(), HasSubstr("ferment_feedback_dropped_total{reason=\"undone\"} 2\n"));

  // The loop hangs in a collective from here on; the watch's thread tells on.
  client->ReportRanks({1, 1});
  client->ReportRanks({100, 130});
  EXPECT_TRUE(Eventually([&] { return Moved("0") - Moved("1") == 30; }));
  client->ReportRanks({101, 181});
  EXPECT_TRUE(Eventually([&] { return Moved("0") - Moved("1") == 80; }));

  steps.Observe(0.03, metrics::kStepSecondsBounds);
  ASSERT_TRUE(client->Complete({.last = progress, .models = {{"teacher", "t", "t"}}}).ok());
  EXPECT_THAT(cluster_.Exposition(), HasSubstr("ferment_train_step_duration_seconds_count{phase=\"teacher\"} 2\n"));
  EXPECT_EQ(Moved("1"), 0);
}

TEST_F(ToldFigures, AShardsConfidencesComeWithItsCommit) {
  StartLabelling();
  const auto client = *labeler::MakeGrpcLeaseClient(cluster_.address(), {}, {"labeler", "1", "avx2", ""}, {});
  const auto offer = client->Take();
  ASSERT_TRUE(offer) << offer.error().ToString();
  ASSERT_EQ(offer->leases.size(), 1U);
  const labeler::Lease& lease = offer->leases[0];
  labeler::ShardResult result = ResultOf(lease);
  for (const double confidence : {0.3, 0.65, 0.65}) result.confidence.Observe(confidence, metrics::kConfidenceBounds);
  const auto committed = client->Commit(lease, result);
  ASSERT_TRUE(committed) << committed.error().ToString();
  EXPECT_THAT(cluster_.Exposition(), HasSubstr("ferment_pseudo_label_confidence_bucket{le=\"0.7\"} 3\n"));
  EXPECT_THAT(cluster_.Exposition(), HasSubstr("ferment_pseudo_label_confidence_sum 1.6\n"));
  ASSERT_TRUE(client->Commit(lease, result)) << "again, as after an answer that was lost";
  EXPECT_THAT(cluster_.Exposition(), HasSubstr("ferment_pseudo_label_confidence_count 3\n"));
}

}  // namespace
}  // namespace ferment::testing
