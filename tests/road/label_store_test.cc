// SPDX-License-Identifier: Apache-2.0
#include "tests/road/road_fixture.h"
#include "tests/support/object_gateway.h"

namespace ferment::road {
namespace {

class LabelStore : public RoadTest {};

TEST_F(LabelStore, HoldsTheLabelSetsOfAWholeRun) {
  const auto gateway = testing::ObjectGateway::Start();
  if (gateway == nullptr) GTEST_SKIP() << "it starts Ceph's radosgw: make test-s3";
  std::vector<std::pair<std::string, std::string>> environment = gateway->Environment();
  environment.emplace_back("FERMENT_LABEL_STORE", "s3://" + gateway->FreshBucket() + "/runs");
  const Outcome run = Run(RunCommand(), environment);
  ASSERT_EQ(run.exit_code, 0) << run.output;
  ExpectFinishedRun();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(run_dir() / "labels"))
    EXPECT_TRUE(entry.is_directory() || entry.path().filename() == "store.json") << entry.path();

  const std::string ferment = BinFolder() / "ferment";
  const Outcome verified = Run({ferment, "labels", "verify", run_dir()}, environment);
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  const Outcome shown = Run({ferment, "labels", "show", "--json", run_dir()}, environment);
  const auto json = ParseJson(shown.output);
  ASSERT_TRUE(json) << shown.output;
  EXPECT_EQ((*json)[0]["counts"]["read"], 192);
}

}  // namespace
}  // namespace ferment::road
