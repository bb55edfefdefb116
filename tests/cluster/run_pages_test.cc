// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "coordinator/rpc/page_token.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/refused_field.h"

namespace ferment::testing {
namespace {

class RunPages : public LeaseCluster {
 protected:
  v1::ListRunsResponse Page(std::uint32_t size, const std::string& token) {
    grpc::ClientContext context;
    v1::ListRunsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListRunsResponse response;
    status_ = runs_->ListRuns(&context, request, &response);
    return response;
  }

  /// Returns: the run's id.
  std::string SubmitAs(const std::string& name) {
    const coordinator::Submission submission{name, SmallSpec(), "/runs/" + name};
    using Answer = Result<std::string>;
    const auto run_id = coordinator::Await<Answer>(
        [&](coordinator::Then<Answer> then) { cluster_.scheduler().Submit(submission, std::move(then)); });
    EXPECT_TRUE(run_id) << run_id.error().ToString();
    return run_id.value_or("");
  }

  std::unique_ptr<v1::RunService::Stub> runs_ = v1::RunService::NewStub(rpc::OpenChannel(cluster_.address()));
  grpc::Status status_;
};

TEST_F(RunPages, FollowOneAnotherByTheirTokensUntilTheLastHasNone) {
  std::set<std::string> submitted;
  for (const char* name : {"a", "b", "c"}) submitted.insert(SubmitAs(name));
  std::set<std::string> listed;
  std::string token;
  for (int page = 1; page <= 3; ++page) {
    const v1::ListRunsResponse response = Page(1, token);
    ASSERT_TRUE(status_.ok()) << status_.error_message();
    ASSERT_EQ(response.runs_size(), 1) << page;
    listed.insert(response.runs(0).run_id());
    token = response.next_page_token();
    EXPECT_EQ(token.empty(), page == 3);
  }
  EXPECT_EQ(listed, submitted);
  EXPECT_EQ(Page(0, "").runs_size(), 3) << "of the default size";
}

TEST_F(RunPages, RunsThatComeInBetweenNeitherRepeatNorHideOthers) {
  for (const char* name : {"a", "b", "c", "d"}) SubmitAs(name);
  std::vector<std::string> listed;
  std::string token;
  do {
    const v1::ListRunsResponse response = Page(1, token);
    ASSERT_TRUE(status_.ok()) << status_.error_message();
    for (const v1::RunStatus& run : response.runs()) listed.push_back(run.run_id());
    token = response.next_page_token();
    SubmitAs("between-" + std::to_string(listed.size()));
  } while (!token.empty() && listed.size() < 10);
  EXPECT_EQ(listed, (std::vector<std::string>{"small-4", "small-3", "small-2", "small-1"}));
}

TEST_F(RunPages, ATokenThatIsNotOursIsRefusedAndTheFieldNamed) {
  for (const char* token : {"next", "-1", "1", "99999999999999999999", "000000000000000100000000"}) {
    Page(1, token);
    EXPECT_EQ(RefusedField(status_), "page_token") << status_.error_message();
  }
  for (const char* name : {"a", "b"}) SubmitAs(name);
  const std::string good = Page(1, "").next_page_token();
  ASSERT_EQ(good.size(), 24U);
  for (std::size_t place = 0; place < good.size(); ++place) {
    std::string changed = good;
    changed[place] = changed[place] == '5' ? '6' : '5';
    Page(1, changed);
    EXPECT_EQ(RefusedField(status_), "page_token") << status_.error_message();
  }
  EXPECT_EQ(Page(1, good).runs(0).run_id(), "small-1");
  Page(1, coordinator::PageTokenAfter(3));
  EXPECT_EQ(RefusedField(status_), "page_token") << status_.error_message();
}

TEST_F(RunPages, ASpecThatNoFileCouldHoldIsRefusedBeforeItIsPlanned) {
  std::vector<RunSpec> faulty(4, SmallSpec());
  faulty[0].mutable_cotrain()->set_rounds(4'000'000'000);
  faulty[1].set_name("../out");
  faulty[2].mutable_labeling()->set_tau(0);
  faulty[3].add_classes("Wrath");
  for (const RunSpec& spec : faulty) {
    grpc::ClientContext context;
    v1::SubmitRunRequest request;
    *request.mutable_spec() = spec;
    request.set_run_dir("/runs/faulty");
    v1::SubmitRunResponse response;
    const grpc::Status refused = runs_->SubmitRun(&context, request, &response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << spec.ShortDebugString();
    EXPECT_NE(refused.error_message().find("allowed"), std::string::npos) << refused.error_message();
  }
}

}  // namespace
}  // namespace ferment::testing
