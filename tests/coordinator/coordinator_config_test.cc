// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(CoordinatorConfig, RefusesACoolDownThatNobodyCanMeanAndNamesTheFlag) {
  const auto refusal = [](const CoolDownRule& rule) {
    CoordinatorConfig config;
    config.cool_down = rule;
    const Status status = Check(config);
    EXPECT_EQ(status.ok() ? 0 : ProcessExitCode(status), status.ok() ? 0 : exit_code::kUsage);
    return std::string(status.message());
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({0, 1s, 1s}), "") << "0: never";
  EXPECT_THAT(refusal({1001, 5s, 600s}), HasSubstr("--cool-down-after must be 0 to 1000: value=1001"));
  EXPECT_THAT(refusal({3, 0s, 600s}), HasSubstr("--cool-down-first must be 1 to 3600: value=0"));
  EXPECT_THAT(refusal({3, 61s, 60s}),
              HasSubstr("--cool-down-first must be at most --cool-down-longest (60): value=61"));
  EXPECT_THAT(refusal({3, 5s, 3601s}), HasSubstr("--cool-down-longest must be 1 to 3600: value=3601"));
}

TEST(CoordinatorConfig, RefusesToRememberFewerRunsThanNone) {
  CoordinatorConfig config;
  for (const int good : {0, 1'000'000}) {
    config.keep_runs = good;
    EXPECT_TRUE(Check(config).ok()) << good;
  }
  for (const int bad : {-1, 1'000'001}) {
    config.keep_runs = bad;
    EXPECT_EQ(ProcessExitCode(Check(config)), exit_code::kUsage);
    EXPECT_THAT(Check(config).message(), HasSubstr("--keep-runs must be 0 to 1000000: value=" + std::to_string(bad)));
  }
  EXPECT_THAT(Describe({}), HasSubstr("\nkeep-runs = 500\n"));
}

TEST(CoordinatorConfig, RefusesWhatTheCommandLineDoes) {
  using Set = std::function<void(CoordinatorConfig&, int)>;
  const auto refuses = [](const Set& set, const FlagRange& range) {
    for (const int value : {range.least - 1, range.least, range.most, range.most + 1}) {
      CoordinatorConfig config;
      config.limits.connections = kConnectionsRange.most;
      set(config, value);
      EXPECT_EQ(Check(config).ok(), value >= range.least && value <= range.most) << value;
    }
  };
  refuses([](auto& c, int value) { c.limits.connections = value, c.limits.connections_per_peer = 1; },
          kConnectionsRange);
  refuses([](auto& c, int value) { c.limits.connections_per_peer = value; }, kConnectionsPerPeerRange);
  refuses([](auto& c, int value) { c.limits.streams = value; }, kStreamsRange);
  refuses([](auto& c, int value) { c.limits.waiting = value; }, kWaitingRange);
  refuses([](auto& c, int value) { c.drain = std::chrono::seconds(value); }, kDrainRange);
  refuses([](auto& c, int value) { c.cool_down.after = static_cast<std::uint32_t>(value); }, kCoolDownAfterRange);
  refuses([](auto& c, int value) { c.cool_down.first = c.cool_down.longest = std::chrono::seconds(value); },
          kCoolDownRange);
}

TEST(CoordinatorConfig, TellsTrainersNoAddressThatNobodyCanCall) {
  CoordinatorConfig config;
  config.advertise = "leader.example:7070";
  EXPECT_TRUE(Check(config).ok());
  for (const char* bad : {"leader.example", "leader.example:0", ":7070"}) {
    config.advertise = bad;
    EXPECT_EQ(ProcessExitCode(Check(config)), exit_code::kUsage) << bad;
    EXPECT_THAT(Check(config).message(), HasSubstr("--advertise"));
  }
}

TEST(CoordinatorConfig, PrintsTheCoolDown) {
  EXPECT_THAT(Describe({}), HasSubstr("cool-down-after = 3\ncool-down-first = 5 s\ncool-down-longest = 600 s\n"));
}

}  // namespace
}  // namespace ferment::coordinator
