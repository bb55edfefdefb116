// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/mpi_collective.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/contract/collective_contract.h"

namespace ferment::worker {
namespace {

TEST(MpiCollective, KeepsTheContract) {
  auto collective = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(collective) << collective.error().ToString();
  testing::ExpectTheContract(**collective);
}

TEST(MpiCollective, SaysWhenTheOthersDoNotCome) {
  auto collective = MakeMpiCollective(std::chrono::milliseconds(100));
  ASSERT_TRUE(collective);
  auto all = MakeMpiCollective(std::chrono::seconds(60));
  ASSERT_TRUE(all);
  if ((*all)->size() > 1 && (*all)->rank() == 0) {
    EXPECT_EQ(ProcessExitCode((*collective)->Barrier()), exit_code::kHang);
  }
  ASSERT_TRUE((*all)->Barrier().ok());
  if ((*all)->rank() > 0) {
    EXPECT_TRUE((*collective)->Barrier().ok());
  }
  ASSERT_TRUE((*all)->Barrier().ok());
}

}  // namespace
}  // namespace ferment::worker

int main(int argc, char** argv) {
  int level = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  ::testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  MPI_Finalize();
  return failed;
}
