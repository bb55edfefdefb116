// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/nccl_collective.h"

#include <gmock/gmock.h>

#include "tests/contract/collective_endings.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/fake_nccl/standin_nccl.h"
#include "tests/support/run_ranks.h"
#include "worker/collective/nccl_module.h"
#include "worker/collective/thread_collective.h"

namespace ferment::worker {
namespace {

using ::testing::HasSubstr;
using Made = Result<std::unique_ptr<Collective>>;

const NcclModule& Module() {
  static const auto module = OpenNcclModule(FERMENT_NCCL_MODULE);
  EXPECT_TRUE(module) << module.error().ToString();
  return **module;
}

/// Rank r on device r; the compute stream is the device's own.
NcclOptions OptionsOf(const Collective& host, std::chrono::milliseconds deadline = std::chrono::seconds(60)) {
  cudaSetDevice(host.rank());
  return {.device = host.rank(), .deadline = deadline, .compute_stream = [] { return nullptr; }};
}

/// A device a rank, and four where ranks are fewer.
class NcclCollective : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { testing::SetStandinDevices(std::max(kDevices, GetParam())); }
  void TearDown() override { testing::SetStandinDevices(kDevices); }

  static constexpr int kDevices = 4;
};

TEST_P(NcclCollective, KeepsTheContractOnTheDevice) {
  testing::RunRanks(GetParam(), [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host));
    ASSERT_TRUE(made) << made.error().ToString();
    testing::ExpectTheContractIn(testing::CudaMemory(), **made);
  });
  EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
}

TEST_P(NcclCollective, KeepsTheContractForBuffersOfTheHost) {
  testing::RunRanks(GetParam(), [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host));
    ASSERT_TRUE(made) << made.error().ToString();
    testing::ExpectTheContract(**made);
  });
}

TEST_P(NcclCollective, SplitsAPartAgain) {
  testing::RunRanks(GetParam(), [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host));
    ASSERT_TRUE(made) << made.error().ToString();
    auto part = (*made)->Split(0);
    ASSERT_TRUE(part) << part.error().ToString();
    testing::ExpectTheContractIn(testing::CudaMemory(), **part);
  });
}

TEST_P(NcclCollective, ABarrierHasADeadline) {
  constexpr std::chrono::seconds kDeadline(1);
  const auto hurried_hosts = MakeThreadCollectives(GetParam(), kDeadline);
  testing::RunRanks(GetParam(), [&](Collective& patient) {
    Collective& host = *hurried_hosts[static_cast<std::size_t>(patient.rank())];
    const Made hurried = Module().make_collective(host, OptionsOf(host, kDeadline));
    ASSERT_TRUE(hurried) << hurried.error().ToString();
    testing::ExpectABarrierHasADeadline(**hurried, kDeadline, patient);
  });
}

// Host memory's verbs hear of it at once, those of the device at their deadline.
TEST_P(NcclCollective, AnAbortEndsTheJob) {
  testing::RunRanks(GetParam(), [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host, std::chrono::seconds(1)));
    ASSERT_TRUE(made) << made.error().ToString();
    testing::ExpectAnAbortEndsTheJob(testing::CudaMemory(), **made, exit_code::kHang);
  });
  EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
}

TEST_P(NcclCollective, ADeathIsNobodysSuccess) {
  for (const bool told : {true, false}) {
    const auto tell_others = [&] {
      for (int device = 0; told && device < GetParam() - 1; ++device)
        testing::RaiseStandinError(device, ncclRemoteError);
    };
    testing::RunRanks(GetParam(), [&](Collective& host) {
      const Made made =
          Module().make_collective(host, OptionsOf(host, told ? std::chrono::minutes(10) : std::chrono::seconds(1)));
      ASSERT_TRUE(made) << made.error().ToString();
      testing::ExpectADeathIsNobodysSuccess(testing::CudaMemory(), **made, tell_others);
    });
    EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, NcclCollective, ::testing::Values(1, 2, 3, 8));

// One rank: others would give the compute stream time while they are waited for.
TEST(NcclCollectiveOrder, BeginsAfterTheWorkOfTheComputeStream) {
  testing::RunRanks(1, [](Collective& host) {
    NcclOptions options = OptionsOf(host);
    cudaStream_t compute = nullptr;
    cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
    options.compute_stream = [compute] { return compute; };
    const Made made = Module().make_collective(host, options);
    ASSERT_TRUE(made) << made.error().ToString();
    const testing::ContractMemory memory = testing::CudaMemory();
    testing::ContractBuffer<float> mine(memory, {0.0F, 0.0F, 0.0F});
    testing::ContractBuffer<float> all(memory, {0.0F, 0.0F, 0.0F});
    const auto backward = [](void* data) { std::fill_n(static_cast<float*>(data), 3, 2.0F); };
    cudaLaunchHostFunc(compute, backward, mine.span().data());
    ASSERT_TRUE((*made)->AllGather(std::as_bytes(mine.span()), std::as_writable_bytes(all.span())).ok());
    EXPECT_THAT(all.Values(), ::testing::Each(2.0F));
    cudaStreamDestroy(compute);
  });
}

TEST(NcclCollectiveFailure, IsAHangWhenOneRankStaysAway) {
  testing::RunRanks(3, [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host, std::chrono::milliseconds(50)));
    ASSERT_TRUE(made) << made.error().ToString();
    if (host.rank() != 2) {
      const testing::ContractMemory memory = testing::CudaMemory();
      testing::ContractBuffer<float> buffer(memory, std::vector<float>(17, 1.0F));
      const Status status = (*made)->AllReduceSum(buffer.span());
      EXPECT_EQ(ProcessExitCode(status), exit_code::kHang) << status.ToString();
      EXPECT_THAT(std::string(status.message()), HasSubstr("rank=" + std::to_string(host.rank())));
      EXPECT_EQ((*made)->AllReduceSum(buffer.span()), status) << "the failure is for good";
      EXPECT_EQ((*made)->Barrier(), status);
    }
    ASSERT_TRUE(host.Barrier().ok());
  });
  EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
}

TEST(NcclCollectiveFailure, IsALostPeerWhenNcclSaysSoLater) {
  testing::RunRanks(2, [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host));
    ASSERT_TRUE(made) << made.error().ToString();
    ASSERT_TRUE(host.Barrier().ok());
    if (host.rank() == 0) {
      // Rank 1 never comes: NCCL finds it gone while rank 0 waits.
      const testing::ContractMemory memory = testing::CudaMemory();
      testing::ContractBuffer<double> buffer(memory, {1.0});
      const auto lose = [](void*) { testing::RaiseStandinError(0, ncclRemoteError); };
      cudaLaunchHostFunc(nullptr, lose, nullptr);
      const Status status = (*made)->AllReduceSum(buffer.span());
      EXPECT_EQ(ProcessExitCode(status), exit_code::kPeerLost) << status.ToString();
      EXPECT_THAT(std::string(status.message()), HasSubstr("remote process exited"));
    }
    ASSERT_TRUE(host.Barrier().ok());
  });
}

TEST(NcclCollectiveFailure, OfOneRankAtTheStartIsEveryRanks) {
  testing::RunRanks(3, [](Collective& host) {
    NcclOptions options = OptionsOf(host);
    if (host.rank() == 1) options.device = 99;
    const Made made = Module().make_collective(host, options);
    ASSERT_FALSE(made);
    EXPECT_THAT(std::string(made.error().message()), HasSubstr("rank 1: choosing the device: cudaErrorInvalidDevice"));
  });
  EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
}

TEST(NcclCollectiveFailure, OfASplitIsForGood) {
  testing::RunRanks(2, [](Collective& host) {
    const Made made = Module().make_collective(host, OptionsOf(host, std::chrono::milliseconds(50)));
    ASSERT_TRUE(made) << made.error().ToString();
    ASSERT_TRUE(host.Barrier().ok());
    if (host.rank() == 1) testing::RaiseStandinError(1, ncclSystemError);
    const Made part = (*made)->Split(0);
    ASSERT_FALSE(part);
    EXPECT_EQ(ProcessExitCode(part.error()), host.rank() == 1 ? exit_code::kPeerLost : exit_code::kHang)
        << part.error().ToString();
    EXPECT_EQ((*made)->Barrier(), part.error());
    ASSERT_TRUE(host.Barrier().ok());
  });
  EXPECT_EQ(testing::OpenStandinCommunicators(), 0);
}

TEST(NcclModule, NamesTheDevicesByTheirAddress) {
  const auto devices = Module().list_devices();
  ASSERT_TRUE(devices);
  EXPECT_THAT(*devices, ::testing::ElementsAre("0000:00:00.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"));
}

TEST(NcclModule, SaysThatThereIsNoDevice) {
  testing::SetStandinDevices(0);
  const auto devices = Module().list_devices();
  testing::SetStandinDevices(4);
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), StatusCode::kNotFound);
}

TEST(NcclModule, SaysWhatTheLoaderMissed) {
  const auto module = OpenNcclModule("/nowhere/libferment_nccl.so");
  ASSERT_FALSE(module);
  EXPECT_THAT(std::string(module.error().message()), HasSubstr("/nowhere/libferment_nccl.so: cannot open"));
}

TEST(NcclModule, RefusesALibraryThatIsNone) {
  const auto module = OpenNcclModule("libdl.so.2");
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ferment::worker
