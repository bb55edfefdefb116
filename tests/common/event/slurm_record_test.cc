// SPDX-License-Identifier: Apache-2.0
#include "common/event/slurm_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace ferment::event {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Begin = SlurmRecord::Begin;

class SlurmRecordTest : public testing::Test {
 protected:
  SlurmRecordTest() { std::filesystem::remove_all(run_dir_); }
  void Write(const std::string& ending, const std::string& text) const {
    std::ofstream(record_.stem().string() + ending) << text;
  }
  const std::filesystem::path run_dir_ = std::filesystem::path(testing::TempDir()) / "slurm_record";
  const std::string name_ = SlurmName("run@7", run_dir_, "cotrain-1", 2);
  const SlurmRecord record_{run_dir_, name_};
};

TEST_F(SlurmRecordTest, ANameIsOfOneOwnerFolderJobAndAttempt) {
  EXPECT_THAT(name_, testing::MatchesRegex("cotrain-1-2-ferment-[0-9a-f]{16}"));
  EXPECT_EQ(SlurmName("run@7", run_dir_ / "." / "", "cotrain-1", 2), SlurmName("run@7", run_dir_ / "", "cotrain-1", 2));
  for (const std::string& other :
       {SlurmName("run@8", run_dir_, "cotrain-1", 2), SlurmName("run@7", "/x", "cotrain-1", 2),
        SlurmName("run@7", run_dir_, "cotrain", 2), SlurmName("run@7", run_dir_, "cotrain-1", 3)}) {
    EXPECT_NE(other, name_);
  }
  EXPECT_TRUE(IsSlurmNameOf(name_, "run@7", run_dir_));
  EXPECT_FALSE(IsSlurmNameOf(name_, "run@8", run_dir_));
}

TEST_F(SlurmRecordTest, TellsHowFarAStartHasCome) {
  EXPECT_FALSE(record_.Wanted().value());
  EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), IsEmpty());
  ASSERT_TRUE(record_.Want("#!/bin/bash\n").ok());
  EXPECT_TRUE(record_.Wanted().value());
  EXPECT_FALSE(record_.Job().value());
  ASSERT_TRUE(record_.NoteJob("12").ok());
  EXPECT_EQ(record_.Job().value(), "12");
  EXPECT_EQ(record_.Began().value(), Begin::kNot);
  EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), ElementsAre(name_));
  Write(".begin", "12\n");
  EXPECT_EQ(record_.Began().value(), Begin::kBegun);
  EXPECT_FALSE(record_.Withdraw().value()) << "it is the job's";
  EXPECT_EQ(record_.Began().value(), Begin::kBegun);
  EXPECT_FALSE(record_.End().value());
  Write(".end", "143 asked\n");
  EXPECT_EQ(record_.End().value(), (SlurmEnd{.exit_code = 143, .asked = true}));
  EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), IsEmpty());
}

TEST_F(SlurmRecordTest, WhatIsWithdrawnNobodyBegins) {
  ASSERT_TRUE(record_.Want("").ok());
  EXPECT_TRUE(record_.Withdraw().value());
  EXPECT_EQ(record_.Began().value(), Begin::kWithdrawn);
  EXPECT_FALSE(record_.Withdraw().value());
  EXPECT_EQ(record_.BegunBy().value(), "");
  EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), IsEmpty());
}

TEST_F(SlurmRecordTest, ALostOneMayStillSpeak) {
  ASSERT_TRUE(record_.Want("").ok());
  ASSERT_TRUE(record_.NoteLost().value());
  EXPECT_TRUE(record_.End().value()->lost);
  EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), IsEmpty());
  Write(".end", "0\n");
  EXPECT_FALSE(record_.NoteLost().value());
  EXPECT_EQ(record_.End().value(), SlurmEnd{});
}

TEST_F(SlurmRecordTest, NamesAFileThatHoldsSomethingElse) {
  ASSERT_TRUE(record_.Want("").ok());
  for (const char* text : {"", "x", "-1", "256", "143 asked!", "143asked", "1 lost"}) {
    Write(".end", text);
    const auto end = record_.End();
    ASSERT_FALSE(end) << text;
    EXPECT_EQ(end.error().code(), StatusCode::kDataLoss);
    EXPECT_THAT(end.error().message(), HasSubstr(name_ + ".end"));
    EXPECT_THAT(UnfinishedSlurmStarts(run_dir_), ElementsAre(name_));
  }
}

TEST_F(SlurmRecordTest, AFileThatCannotBeReadIsNotAnAbsentOne) {
  ASSERT_TRUE(record_.Want("").ok());
  std::filesystem::create_directories(record_.stem().string() + ".begin");
  EXPECT_FALSE(record_.Began()) << "a folder";
}

}  // namespace
}  // namespace ferment::event
