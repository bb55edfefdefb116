// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/contract/collective_endings.h"
#include "worker/collective/mpi_collective.h"

namespace ferment::worker {
namespace {

/// What ends a job of processes ends this program too, so that each test is a run of its own: with a filter, under
/// mpirun, whose exit code is what the test is about (expect_code.sh).
class MpiJobEnd : public ::testing::TestWithParam<int> {};

TEST_P(MpiJobEnd, IsAnAbortWithItsCode) {
  const auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective) << collective.error().ToString();
  testing::ExpectAnAbortEndsTheJob(testing::ContractMemory(), **collective, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Code, MpiJobEnd, ::testing::Values(exit_code::kPeerLost, exit_code::kHang),
                         ::testing::PrintToStringParamName());

// mpirun ends the others before a verb of theirs could fail: nothing stands behind these ranks, as a keeper does behind
// a trainer's (docs/decisions/0024), to make a 201 of the kernel's 137.
TEST(MpiRankEnd, IsADeathAndNobodysSuccess) {
  const auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective) << collective.error().ToString();
  testing::ExpectADeathIsNobodysSuccess(testing::ContractMemory(), **collective, [] { raise(SIGKILL); });
}

}  // namespace
}  // namespace ferment::worker
