// SPDX-License-Identifier: Apache-2.0
#include "common/io/folder_claim.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "common/io/atomic_file.h"

namespace ferment::io {
namespace {

namespace fs = std::filesystem;

class FolderClaimTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("claim_" + std::to_string(getpid())) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~FolderClaimTest() override { fs::remove_all(folder_.parent_path()); }

  std::ptrdiff_t Files() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};

void ExpectTaken(const Status& status) {
  EXPECT_EQ(status.code(), StatusCode::kAborted) << status.ToString();
  EXPECT_EQ(ProcessExitCode(status), exit_code::kFenced);
}

TEST_F(FolderClaimTest, TheHighestNumberHasTheFolderWheneverTheOthersCome) {
  const auto first = FolderClaim::Take(folder_, 1);
  ASSERT_TRUE(first) << first.error().ToString();
  EXPECT_TRUE(first->Check().ok());
  const auto third = FolderClaim::Take(folder_, 3);
  ASSERT_TRUE(third);
  ExpectTaken(first->Check());
  const auto second = FolderClaim::Take(folder_, 2);
  ASSERT_FALSE(second);
  ExpectTaken(second.error());
  EXPECT_TRUE(third->Check().ok());
  EXPECT_EQ(Files(), 1) << "one claim, and nothing of the others";
}

TEST_F(FolderClaimTest, NumbersAreComparedAsNumbers) {
  ASSERT_TRUE(FolderClaim::Take(folder_, 9));
  EXPECT_TRUE(FolderClaim::Take(folder_, 10));
  EXPECT_FALSE(FolderClaim::Take(folder_, 9));
}

TEST_F(FolderClaimTest, WhoHasNoNumberTakesItFromAnybodyAndKeepsTheirPlace) {
  const auto fifth = FolderClaim::Take(folder_, 5);
  const auto by_hand = FolderClaim::Take(folder_, 0);
  ASSERT_TRUE(fifth && by_hand);
  ExpectTaken(fifth->Check());
  EXPECT_FALSE(FolderClaim::Take(folder_, 4));
  ASSERT_TRUE(FolderClaim::Take(folder_, 6));
  ExpectTaken(by_hand->Check());
}

TEST_F(FolderClaimTest, WhereNumbersBeginAnewALowOneTakesIt) {
  const auto former = FolderClaim::Take(folder_, 7);
  ASSERT_TRUE(RemoveClaims(folder_).ok());
  ExpectTaken(former->Check());
  EXPECT_TRUE(FolderClaim::Take(folder_, 1));
}

TEST_F(FolderClaimTest, AFileDoesNotAppearOnceTheFolderIsAnothers) {
  const auto first = FolderClaim::Take(folder_, 1);
  AtomicFile file = *AtomicFile::Create(folder_ / "file");
  ASSERT_TRUE(file.Append("of the first").ok());
  std::optional<FolderClaim> second;
  ExpectTaken(file.Appear([&] {
    second = *FolderClaim::Take(folder_, 2);
    return first->Check();
  }));
  EXPECT_FALSE(fs::exists(folder_ / "file"));

  // Let pass before the turn, and stopped there until what it had begun was removed.
  AtomicFile late = *AtomicFile::Create(folder_ / "late");
  const Status status = late.Appear([&] {
    EXPECT_TRUE(second->Check().ok());
    EXPECT_TRUE(FolderClaim::Take(folder_, 3) && RemoveTemporariesIn(folder_).ok());
    return Status();
  });
  EXPECT_FALSE(status.ok());
  ExpectTaken(second->UnlessTaken(status));
  EXPECT_FALSE(fs::exists(folder_ / "late"));
}

TEST_F(FolderClaimTest, AFailureOfWhoHasTheFolderStaysWhatItWas) {
  const auto claim = FolderClaim::Take(folder_, 1);
  EXPECT_EQ(claim->UnlessTaken(InternalError("no space").WithExitCode(204)).exit_code(), 204);
}

TEST_F(FolderClaimTest, WhatIsSetAsideLeavesTheClaimBehindAndGetsTheFirstFreeNumber) {
  const auto claim = FolderClaim::Take(folder_, 1);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "whose", "of the first").ok());
  fs::create_directories(folder_ / "work" / "step");
  fs::create_directory(folder_.string() + ".old-1");
  const auto aside = claim->SetAside("whose");
  ASSERT_TRUE(aside) << aside.error().ToString();
  EXPECT_EQ(*aside, folder_.string() + ".old-2");
  EXPECT_TRUE(fs::exists(*aside / "whose") && fs::exists(*aside / "work" / "step"));
  EXPECT_EQ(Files(), 1);
  EXPECT_TRUE(claim->Check().ok());
}

TEST_F(FolderClaimTest, WhereNothingIsButClaimsNothingIsSetAside) {
  const auto claim = FolderClaim::Take(folder_, 1);
  EXPECT_EQ(*claim->SetAside("whose"), fs::path());
  EXPECT_FALSE(fs::exists(folder_.string() + ".old-1"));
}

TEST_F(FolderClaimTest, WhoHasLostTheFolderSetsNothingAside) {
  const auto first = FolderClaim::Take(folder_, 1);
  ASSERT_TRUE(FolderClaim::Take(folder_, 2));
  ASSERT_TRUE(WriteFileAtomically(folder_ / "whose", "of the second").ok());
  const auto aside = first->SetAside("whose");
  ASSERT_FALSE(aside);
  ExpectTaken(aside.error());
  EXPECT_TRUE(fs::exists(folder_ / "whose"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.parent_path()), {}), 1) << "nothing of the attempt stays";
}

TEST_F(FolderClaimTest, WhoHasTheFolderIsKnownToHaveEndedOnceItsProcessHas) {
  EXPECT_EQ(EndedClaim(folder_), 0U) << "nobody has it";
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t process = fork();
  if (process == 0) {
    const auto claim = FolderClaim::Take(folder_, 3);
    (void)!write(told[1], claim ? "t" : "f", 1);
    for (;;) pause();
  }
  char taken = 0;
  ASSERT_EQ(read(told[0], &taken, 1), 1);
  ASSERT_EQ(taken, 't');
  EXPECT_EQ(EndedClaim(folder_), 0U) << "it is there";
  kill(process, SIGSTOP);
  EXPECT_EQ(EndedClaim(folder_), 0U) << "it may go on";
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
  EXPECT_EQ(EndedClaim(folder_), 3U);
  close(told[0]);
  close(told[1]);
}

TEST_F(FolderClaimTest, OfWhoRanUnderAnotherKernelOrIsOfAFormerVersionNobodyKnows) {
  ASSERT_TRUE(FolderClaim::Take(folder_, 3));
  EXPECT_EQ(EndedClaim(folder_), 3U);
  for (const char* boot_id : {"", "00000000-0000-4000-8000-000000000000\n"}) {
    const auto claim = fs::directory_iterator(folder_)->path();
    std::ofstream(claim) << boot_id;
    EXPECT_EQ(EndedClaim(folder_), 0U) << boot_id;
  }
}

TEST_F(FolderClaimTest, AClaimIsHeldAsLongAsACopyOfIt) {
  std::optional<FolderClaim> copy;
  {
    const auto claim = FolderClaim::Take(folder_, 3);
    copy = *claim;
  }
  EXPECT_EQ(EndedClaim(folder_), 0U);
  copy.reset();
  EXPECT_EQ(EndedClaim(folder_), 3U);
}

TEST_F(FolderClaimTest, AnEndedOneBelowAnotherIsNotWhoHasTheFolder) {
  const auto third = FolderClaim::Take(folder_, 3);
  std::ofstream(folder_ / ".writer-2-ended");
  EXPECT_EQ(EndedClaim(folder_), 0U);
}

TEST_F(FolderClaimTest, OfManyThatComeAtATimeTheHighestIsLeft) {
  for (int round = 0; round < 20; ++round) {
    std::array<std::optional<FolderClaim>, 8> claims;
    {
      std::array<std::jthread, 8> comers;
      for (std::uint64_t i = 0; i < comers.size(); ++i) {
        comers[i] = std::jthread([&, i] {
          if (auto claim = FolderClaim::Take(folder_, static_cast<std::uint64_t>(round) * 8 + i + 1))
            claims[i] = *claim;
        });
      }
    }
    ASSERT_TRUE(claims.back()) << "round=" << round;
    EXPECT_TRUE(claims.back()->Check().ok());
    for (std::size_t i = 0; i + 1 < claims.size(); ++i) {
      if (claims[i]) ExpectTaken(claims[i]->Check());
    }
  }
}

}  // namespace
}  // namespace ferment::io
