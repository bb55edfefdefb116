// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/contract/collective_contract.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/run_ranks.h"
#include "worker/collective/nccl_module.h"

namespace ferment::worker {
namespace {

/// Ranks are threads of this process, each on a GPU of its own.
class NcclOnGpus : public ::testing::TestWithParam<int> {};

TEST_P(NcclOnGpus, KeepsTheContract) {
  const auto module = OpenNcclModule(FERMENT_NCCL_MODULE);
  if (!module) GTEST_SKIP() << module.error().ToString();
  const auto devices = (*module)->list_devices();
  if (!devices) GTEST_SKIP() << devices.error().ToString();
  if (devices->size() < static_cast<std::size_t>(GetParam()))
    GTEST_SKIP() << "fewer GPUs than ranks: gpus=" << devices->size() << " ranks=" << GetParam();
  testing::RunRanks(GetParam(), [&](Collective& host) {
    ASSERT_EQ(cudaSetDevice(host.rank()), cudaSuccess);
    const NcclOptions options{
        .device = host.rank(), .deadline = std::chrono::seconds(60), .compute_stream = [] { return nullptr; }};
    const auto made = (*module)->make_collective(host, options);
    ASSERT_TRUE(made) << made.error().ToString();
    testing::ExpectTheContractIn(testing::CudaMemory(), **made);
    testing::ExpectTheContract(**made);
    ASSERT_TRUE(host.Barrier().ok());
  });
}

TEST_P(NcclOnGpus, IsAHangWhenOneRankStaysAway) {
  if (GetParam() < 2) GTEST_SKIP() << "a rank alone waits for nobody";
  const auto module = OpenNcclModule(FERMENT_NCCL_MODULE);
  if (!module) GTEST_SKIP() << module.error().ToString();
  const auto devices = (*module)->list_devices();
  if (!devices) GTEST_SKIP() << devices.error().ToString();
  if (devices->size() < static_cast<std::size_t>(GetParam()))
    GTEST_SKIP() << "fewer GPUs than ranks: gpus=" << devices->size() << " ranks=" << GetParam();
  testing::RunRanks(GetParam(), [&](Collective& host) {
    ASSERT_EQ(cudaSetDevice(host.rank()), cudaSuccess);
    const NcclOptions options{
        .device = host.rank(), .deadline = std::chrono::seconds(10), .compute_stream = [] { return nullptr; }};
    const auto made = (*module)->make_collective(host, options);
    ASSERT_TRUE(made) << made.error().ToString();
    if (host.rank() > 0) {
      const testing::ContractMemory memory = testing::CudaMemory();
      testing::ContractBuffer<float> buffer(memory, std::vector<float>(1024, 1.0F));
      const Status status = (*made)->AllReduceSum(buffer.span());
      EXPECT_EQ(ProcessExitCode(status), exit_code::kHang) << status.ToString();
    }
    ASSERT_TRUE(host.Barrier().ok());
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, NcclOnGpus, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace ferment::worker
