// SPDX-License-Identifier: Apache-2.0
//
// Which shard goes to whom: pure functions over JobBook.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

/// A shard that failed this often, each time in a way that might pass, fails for good.
inline constexpr std::uint32_t kShardFailureLimit = 4;

struct LeaseChoice {
  enum class Kind {
    kGrant,
    /// Nothing now; more may come.
    kNothingNow,
    /// No run has work for labelers now or later.
    kIdle,
    /// There is work, but only for another class of machine.
    kWrongMachine,
  };
  Kind kind = Kind::kIdle;
  /// With kGrant: the shard, and the epoch that it gets.
  LeaseKey key;
  /// With kWrongMachine: the class of machine that is asked for.
  std::string instruction_set;
};

/// Returns: the next shard for this labeler: of the run with the highest priority, the oldest of those, and there the
/// lowest shard; a shard that this labeler lost goes to another one where anything else is left to do. Nothing of a
/// suspended run.
LeaseChoice ChooseShard(const JobBook& book, const Labeler& labeler);

}  // namespace ferment::coordinator
