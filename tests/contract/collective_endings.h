// SPDX-License-Identifier: Apache-2.0
//
// What every backend of Collective owes where ranks do not come, give up or die, as checks that each rank makes for
// itself.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <vector>

#include "tests/contract/collective_contract.h"
#include "worker/collective/collective.h"

namespace ferment::testing {

/// A communicator that a check leaves behind is of no use: each check takes a fresh one.

inline bool IsLast(const worker::Collective& collective) { return collective.rank() == collective.size() - 1; }

/// As a lost peer, or at the deadline, where a backend tells of a loss in no other way.
inline void ExpectLostOrHung(const Status& status) {
  EXPECT_TRUE(ProcessExitCode(status) == exit_code::kPeerLost || ProcessExitCode(status) == exit_code::kHang)
      << status.ToString();
}

/// The last rank stays away from a barrier of `hurried`, whose deadline is `deadline`, until the others have given up.
/// `patient` joins the same ranks and has a deadline that nobody comes near.
inline void ExpectABarrierHasADeadline(worker::Collective& hurried, std::chrono::milliseconds deadline,
                                       worker::Collective& patient) {
  if (patient.size() == 1) {
    EXPECT_TRUE(hurried.Barrier().ok());
    return;
  }
  ASSERT_TRUE(patient.Barrier().ok());
  std::vector<double> hung = {0};
  if (!IsLast(patient)) {
    const auto begin = std::chrono::steady_clock::now();
    const Status status = hurried.Barrier();
    ExpectLostOrHung(status);  // who comes after the first has given up hears of that
    if (ProcessExitCode(status) == exit_code::kHang) {
      hung[0] = 1;
      EXPECT_GE(std::chrono::steady_clock::now() - begin, deadline);
    }
  }
  ASSERT_TRUE(patient.AllReduceSum(std::span<double>(hung)).ok());
  EXPECT_GE(hung[0], 1) << "nobody waited to the deadline";
  // MPI must not be left with half of a barrier.
  if (IsLast(patient)) (void)hurried.Barrier();
  ASSERT_TRUE(patient.Barrier().ok());
}

/// The last rank aborts; the others wait, or are on their way. Where ranks are processes none returns, and the job's
/// exit code is the rest of the check.
inline void ExpectAnAbortEndsTheJob(const ContractMemory& memory, worker::Collective& collective, int exit_code) {
  ContractBuffer<float> values(memory, std::vector<float>(17, 1.0F));
  if (IsLast(collective)) collective.Abort(exit_code);
  const Status waiting = collective.Barrier();
  EXPECT_EQ(ProcessExitCode(waiting), exit_code::kPeerLost) << waiting.ToString();
  ExpectLostOrHung(collective.AllReduceSum(values.span()));
  EXPECT_FALSE(collective.Split(0)) << "later verbs fail too";
}

/// The last rank dies by `die`, without a word; where ranks are threads it leaves. No verb that needs it succeeds.
inline void ExpectADeathIsNobodysSuccess(const ContractMemory& memory, worker::Collective& collective,
                                         const std::function<void()>& die) {
  ASSERT_TRUE(collective.Barrier().ok());
  if (IsLast(collective)) return die();
  ContractBuffer<float> values(memory, std::vector<float>(100'003, 1.0F));
  ExpectLostOrHung(collective.AllReduceSum(values.span()));
  ContractBuffer<std::byte> bytes(memory, std::vector<std::byte>(3));
  ExpectLostOrHung(collective.Broadcast(bytes.span(), collective.size() - 1));
}

}  // namespace ferment::testing
