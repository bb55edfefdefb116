// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
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

/// Returns: what is said of such a store; "" where nothing is.
std::string RefusalOf(const std::string& store) {
  CoordinatorConfig config;
  config.store = store;
  const Status status = Check(config);
  if (status.ok()) return "";
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUsage) << store;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret"))) << store;
  EXPECT_THAT(Describe(config), Not(HasSubstr("secret"))) << store;
  return std::string(status.message());
}

TEST(CoordinatorConfig, RefusesAPasswordInEachOfItsSpellingsAndDoesNotRepeatIt) {
  for (const char* store :
       {"postgresql://user:secret@host/base", "postgres://user:se/secret@host/base",
        "postgresql://user:a?secret@h/base", "postgresql://user:secret/@host:5432/base",
        "postgresql://user:a@secret@host/base", "postgresql://user:secret%zz@host/base",
        "postgresql://host/base?password=secret", "postgresql://host/base?pass%77ord=secret",
        "postgresql://host/base?%70assword%3Dsecret", "postgresql://host/base?user=a&sslpassw%6Frd=secret",
        "Postgresql://user:secret@host/base", "postgresql:user:secret@host/base"}) {
    EXPECT_NE(RefusalOf(store), "") << store;
  }
  EXPECT_THAT(RefusalOf("postgresql://user:secret@host/base"), HasSubstr("PGPASSFILE"));
  EXPECT_THAT(RefusalOf("postgresql://user:a/secret@host/base"), HasSubstr("PGPASSFILE"));
  EXPECT_THAT(RefusalOf("postgresql://user:secret/base"), HasSubstr("port of 1 to 65535, or none"));
}

TEST(CoordinatorConfig, TellsAtOnceWhatIsWrongWithTheAddressOfADatabase) {
  EXPECT_THAT(RefusalOf("postgresql://u@h:99999/b"), HasSubstr("port=99999"));
  EXPECT_THAT(RefusalOf("postgresql://u@h:0/b"), HasSubstr("port=0"));
  EXPECT_THAT(RefusalOf("postgresql://u@h:port/b"), HasSubstr("port of 1 to 65535"));
  EXPECT_THAT(RefusalOf("postgresql://u@a,c,d/b?port=1,2"), HasSubstr("hosts=3 ports=2"));
  EXPECT_THAT(RefusalOf("postgresql://u@h/b?nosuch=1"), HasSubstr("\"nosuch\""));
  EXPECT_THAT(RefusalOf("postgresql://u@h/b?sslmode=foo"), HasSubstr("invalid sslmode value: \"foo\""));
  EXPECT_THAT(RefusalOf("postgresql://u@h/%zz"), HasSubstr("\"%zz\""));
  EXPECT_THAT(RefusalOf("postgresql://u@h/b?service=zzz"), HasSubstr("\"zzz\" not found"));
  for (const char* good :
       {"postgresql://u@h/b", "postgres://u@h:5432/b", "postgresql://", "postgresql:///b?host=/run/pg",
        "postgresql://u@[::1]:5432/b", "postgresql://a:1,c:2/b?target_session_attrs=read-write",
        "postgresql://u%40x@h/b?sslmode=verify-full&application_name=%20", "postgresql://h/b?hostaddr=192.0.2.1",
        "postgresql://u@h/b?passfile=/nowhere", "postgresql://h/b?options=-cfoo%3Dbar"}) {
    EXPECT_EQ(RefusalOf(good), "") << good;
  }
}

TEST(CoordinatorConfig, PrintsTheCoolDown) {
  EXPECT_THAT(Describe({}), HasSubstr("cool-down-after = 3\ncool-down-first = 5 s\ncool-down-longest = 600 s\n"));
}

}  // namespace
}  // namespace ferment::coordinator
