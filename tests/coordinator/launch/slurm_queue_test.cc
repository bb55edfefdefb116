// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/slurm_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

using testing::HasSubstr;

TEST(SlurmQueue, ReadsJobsThatWaitRunAndHaveEnded) {
  const auto jobs = ParseSlurmJobs(
      "7|PENDING|0|Resources|teacher-1|\n"
      "8|FAILED|1792|NonZeroExitCode|a|b|\n"
      "9|TIMEOUT|9|TimeLimit||\n");
  ASSERT_TRUE(jobs) << jobs.error().ToString();
  ASSERT_EQ(jobs->size(), 3U);
  EXPECT_TRUE((*jobs)[0].Lives());
  EXPECT_EQ((*jobs)[0].number, "7");
  EXPECT_EQ((*jobs)[0].reason, "Resources");
  EXPECT_EQ((*jobs)[0].name, "teacher-1");
  EXPECT_FALSE((*jobs)[1].Lives());
  EXPECT_EQ((*jobs)[1].ExitCode(), 7);
  EXPECT_EQ((*jobs)[1].name, "a|b") << "other people's names are theirs";
  EXPECT_EQ((*jobs)[2].ExitCode(), 137);
  EXPECT_EQ((*jobs)[2].name, "");
}

TEST(SlurmQueue, NamesTheLineThatItCannotRead) {
  for (const char* text :
       {"7|RUNNING|0|None|x", "7|RUNNING|0|None|x|", "x|RUNNING|0|None|x|\n", "7|RUNNING|y|None|x|\n",
        "7|RUNNING|-1|None|x|\n", "7|RUNNING\n", "\n", "7|RUNNING|0|None|x\n"}) {
    const auto jobs = ParseSlurmJobs(text);
    ASSERT_FALSE(jobs) << text;
    EXPECT_EQ(jobs.error().code(), StatusCode::kDataLoss);
    const std::string line(text);
    EXPECT_THAT(jobs.error().message(), HasSubstr("line=\"" + line.substr(0, line.find('\n')) + "\""));
  }
}

TEST(SlurmQueue, TakesNoStateForGrantedThatItDoesNotKnow) {
  const auto jobs = ParseSlurmJobs("7|DREAMING|0|None|x|\n");
  ASSERT_FALSE(jobs);
  EXPECT_THAT(jobs.error().message(), HasSubstr("state=\"DREAMING\""));
}

TEST(SlurmQueue, ReadsTheNumberOfANewJob) {
  EXPECT_EQ(ParseSlurmNumber("123\n").value(), "123");
  EXPECT_EQ(ParseSlurmNumber("123;cluster\n").value(), "123");
  for (const char* text : {"", "\n", "12", "12 \n", "Submitted batch job 12\n", "12\n13\n", ";c\n"}) {
    const auto number = ParseSlurmNumber(text);
    ASSERT_FALSE(number) << text;
    EXPECT_THAT(number.error().message(), HasSubstr("text=\"" + std::string(text) + "\""));
  }
}

}  // namespace
}  // namespace ferment::coordinator
