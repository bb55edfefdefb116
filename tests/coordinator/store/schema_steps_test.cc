// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/schema_steps.h"

#include <gmock/gmock.h>

#include <array>
#include <vector>

namespace ferment::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::array<const char*, 3> kThree = {"one", "two", "three"};

TEST(SchemaSteps, EachStoreTakesTheStepsThatItHasNotTakenInOrder) {
  for (const std::int64_t version : {0, 1, 2, 3}) {
    std::vector<std::string> taken;
    EXPECT_TRUE(
        TakeSteps(kThree, version, [&](const std::string& sql) { return taken.push_back(sql), Status(); }).ok());
    EXPECT_EQ(taken, std::vector<std::string>(kThree.begin() + version, kThree.end())) << version;
  }
}

TEST(SchemaSteps, NoStepFollowsOneThatFailedAndThatOneIsNamed) {
  std::vector<std::string> taken;
  const Status status = TakeSteps(kThree, 0, [&](const std::string& sql) {
    taken.push_back(sql);
    return sql == "two" ? InternalError("no").WithExitCode(exit_code::kStorageFailed) : Status();
  });
  EXPECT_THAT(taken, ElementsAre("one", "two"));
  EXPECT_EQ(status.message(), "migrating the store to version 2: no");
  EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed);
}

TEST(SchemaSteps, AVersionBehindTheLastStepIsANewerProgramsAndIsSaidToBe) {
  EXPECT_TRUE(CheckVersion(kThree, 0, "store=s").ok());
  EXPECT_TRUE(CheckVersion(kThree, 3, "store=s").ok());
  const Status status = CheckVersion(kThree, 4, "store=s");
  EXPECT_EQ(ProcessExitCode(status), exit_code::kUnreadableState);
  EXPECT_THAT(std::string(status.message()), HasSubstr("store=s schema=4 known=3"));
}

}  // namespace
}  // namespace ferment::coordinator
