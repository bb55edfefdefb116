// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launch/slurm_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferment::coordinator {
namespace {

using testing::HasSubstr;

const std::string kHeader = "JOBID|STATE|EXIT_CODE|REASON|NAME|\n";
const std::string kName = "teacher-1-ferment-0123456789abcdef";

TEST(SlurmQueue, ReadsJobsThatWaitRunAndHaveEnded) {
  const auto jobs =
      ParseSlurmJobs(kHeader + "7|PENDING|0|Resources|" + kName + "|\n" +
                     "5|DREAMING|0|None|what else this user runs|\nof two lines|\n6|RUNNING|0|None||\n" +
                     "8|FAILED|1792|NonZeroExitCode|" + kName + "|\n9|TIMEOUT|9|TimeLimit|" + kName + "|\n");
  ASSERT_TRUE(jobs) << jobs.error().ToString();
  ASSERT_EQ(jobs->size(), 3U);
  EXPECT_TRUE((*jobs)[0].Lives());
  EXPECT_EQ((*jobs)[0].number, "7");
  EXPECT_EQ((*jobs)[0].reason, "Resources");
  EXPECT_EQ((*jobs)[0].name, kName);
  EXPECT_FALSE((*jobs)[1].Lives());
  EXPECT_EQ((*jobs)[1].ExitCode(), 7);
  EXPECT_EQ((*jobs)[2].ExitCode(), 137);
  EXPECT_EQ((*jobs)[2].UnbegunCode(), 137);
}

TEST(SlurmQueue, NamesTheLineThatItCannotRead) {
  for (const std::string& text :
       {"7|RUNNING|0|None|" + kName + "|", "x|RUNNING|0|None|" + kName + "|\n", "7|RUNNING|y|None|" + kName + "|\n",
        "7|RUNNING|-1|None|" + kName + "|\n", "7|RUNNING|" + kName + "|\n"}) {
    const auto jobs = ParseSlurmJobs(kHeader + text);
    ASSERT_FALSE(jobs) << text;
    EXPECT_EQ(jobs.error().code(), StatusCode::kDataLoss);
    EXPECT_THAT(jobs.error().message(), HasSubstr("line=\"" + text.substr(0, text.find('\n')) + "\""));
  }
}

TEST(SlurmQueue, TakesSilenceForNoAnswer) {
  for (const char* text : {"", "\n", "7|RUNNING|0|None|x|\n"}) EXPECT_FALSE(ParseSlurmJobs(text)) << text;
  EXPECT_TRUE(ParseSlurmJobs(kHeader)->empty());
}

TEST(SlurmQueue, TakesNoStateForGrantedThatItDoesNotKnow) {
  const auto jobs = ParseSlurmJobs(kHeader + "7|DREAMING|0|None|" + kName + "|\n");
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
