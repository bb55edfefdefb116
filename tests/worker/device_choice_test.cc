// SPDX-License-Identifier: Apache-2.0
#include "worker/device_choice.h"

#include <gmock/gmock.h>

#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

using ::testing::HasSubstr;
using Devices = Result<std::vector<std::string>>;

Devices None() { return Fail(NotFoundError("no driver").WithExitCode(exit_code::kMissingService)); }

TEST(DeviceChoice, GivesEachRankOfAMachineItsOwnDevice) {
  testing::RunRanks(4, [](Collective& ranks) {
    const std::string host = ranks.rank() < 2 ? "a" : "b";
    const auto choice = ChooseDevice("cuda", ranks.rank() % 2, Devices({host + "/0", host + "/1"}), ranks);
    ASSERT_TRUE(choice) << choice.error().ToString();
    EXPECT_EQ(choice->cuda, ranks.rank() % 2);
  });
}

TEST(DeviceChoice, TakesTheOneDeviceThatALauncherShowsEachRank) {
  testing::RunRanks(2, [](Collective& ranks) {
    const auto choice = ChooseDevice("auto", ranks.rank(), Devices({"a/" + std::to_string(ranks.rank())}), ranks);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->cuda, 0);
  });
}

TEST(DeviceChoice, EndsEveryRankWith69WhereCudaIsAskedForAndOneRankHasNone) {
  testing::RunRanks(2, [](Collective& ranks) {
    const auto choice = ChooseDevice("cuda", 0, ranks.rank() == 1 ? None() : Devices({"a/0"}), ranks);
    ASSERT_FALSE(choice);
    EXPECT_EQ(ProcessExitCode(choice.error()), exit_code::kMissingService);
    EXPECT_THAT(std::string(choice.error().message()), HasSubstr("resources.device=cuda: rank 1: no driver"));
  });
}

TEST(DeviceChoice, FallsBackOnEveryRankWhereOneHasNone) {
  testing::RunRanks(2, [](Collective& ranks) {
    const auto choice = ChooseDevice("auto", 0, ranks.rank() == 1 ? None() : Devices({"a/0"}), ranks);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->cuda, std::nullopt);
    EXPECT_THAT(choice->why, HasSubstr("rank 1: no driver"));
  });
}

TEST(DeviceChoice, LetsNoTwoRanksShareADevice) {
  testing::RunRanks(3, [](Collective& ranks) {
    const Devices two({"a/0", "a/1"});
    const auto asked = ChooseDevice("cuda", ranks.rank(), two, ranks);
    ASSERT_FALSE(asked);
    EXPECT_EQ(ProcessExitCode(asked.error()), exit_code::kMissingService);
    EXPECT_THAT(std::string(asked.error().message()), HasSubstr("device=a/0 ranks=0,2"));
    const auto left_to_us = ChooseDevice("auto", ranks.rank(), two, ranks);
    ASSERT_TRUE(left_to_us);
    EXPECT_EQ(left_to_us->cuda, std::nullopt);
  });
}

TEST(DeviceChoice, DoesNotLookAtDevicesWhereTheCpuIsAskedFor) {
  testing::RunRanks(1, [](Collective& ranks) {
    const auto choice = ChooseDevice("cpu", 0, None(), ranks);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->cuda, std::nullopt);
    EXPECT_EQ(choice->why, "");
  });
}

TEST(DeviceChoice, DoesNotTakeALostPeerForAMissingDevice) {
  testing::RunRanks(2, [](Collective& ranks) {
    if (ranks.rank() == 1) return ranks.Abort(1);
    const auto choice = ChooseDevice("auto", 0, Devices({"a/0"}), ranks);
    ASSERT_FALSE(choice);
    EXPECT_EQ(ProcessExitCode(choice.error()), exit_code::kPeerLost);
  });
}

}  // namespace
}  // namespace ferment::worker
