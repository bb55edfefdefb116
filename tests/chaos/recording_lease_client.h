// SPDX-License-Identifier: Apache-2.0
//
// A labeler's client that writes down what was asked and answered, and may fall asleep before it brings a result.
#pragma once

#include <memory>

#include "labeler/lease_client.h"
#include "tests/chaos/chaos_history.h"

namespace ferment::chaos {

struct SleepBeforeCommit {
  /// One in so many commits is preceded by a SIGSTOP to this process itself, for somebody else to end; 0: none.
  std::uint64_t one_in = 0;
  std::uint64_t seed = 0;
};

/// Returns: `inner` with a history. `history` outlives it.
std::unique_ptr<labeler::LeaseClient> MakeRecordingLeaseClient(std::unique_ptr<labeler::LeaseClient> inner,
                                                               HistoryWriter& history, const SleepBeforeCommit& sleep);

}  // namespace ferment::chaos
