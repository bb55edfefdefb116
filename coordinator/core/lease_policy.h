// SPDX-License-Identifier: Apache-2.0
//
// Which shard goes to whom, and who gets none for a while: pure functions over JobBook.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/job_book.h"
#include "coordinator/core/suspect.h"

namespace ferment::coordinator {

/// A shard that failed this often, each time in a way that might pass, fails for good.
inline constexpr std::uint32_t kShardFailureLimit = 4;

/// When a labeler that fails again and again is granted nothing.
struct CoolDownRule {
  /// Failures in a row from which on it cools down; 0: it never does. Fewer cost shards fewer tries, and punish a
  /// machine sooner for what was bad luck.
  std::uint32_t after = 3;
  /// The first cool-down; each failure more doubles it. Long enough that whatever starts a dead labeler again has done
  /// so.
  std::chrono::milliseconds first{5'000};
  /// The longest one: how long a machine that was mended waits at most, and how often one that was not tries a shard.
  std::chrono::milliseconds longest{600'000};
};

/// Returns: how long a labeler that has failed so often in a row is granted nothing from then on.
std::chrono::milliseconds CoolDownFor(const CoolDownRule& rule, std::uint32_t failures);

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
  /// With kGrant: the shard is suspect, and the labeler must be granted nothing else beside it.
  bool alone = false;
  /// With kWrongMachine: the class of machine that is asked for.
  std::string instruction_set;
};

/// What the book does not know; asked only where a shard has failed or is suspect.
struct Surroundings {
  std::function<std::vector<Present>()> alive;
  MayReturn may_return;
};

/// Returns: the next shard for this labeler: of the run with the highest priority, the oldest of those, and there the
/// lowest shard. Nothing of a suspended run. A shard that this labeler lost goes to another one where anything else is
/// left to do. One that it failed goes to another machine, and where there is none to another labeler, for as long as
/// one could take it that is alive and does not cool down; the last try is kept for a machine that has not failed it
/// also while that cools down. A suspect one is the last of its run: it goes to a labeler that holds nothing, and one
/// that still holds something is granted nothing until it holds nothing, so that other runs cannot starve it.
LeaseChoice ChooseShard(const JobBook& book, const Labeler& labeler, const Surroundings& around);

/// Returns: whether this pending shard of a running job is what its labelers died of (IsToBlame). `alive`: also who
/// cools down.
bool MustFail(const Job& job, std::uint64_t shard, const std::vector<Present>& alive, const MayReturn& may_return);

}  // namespace ferment::coordinator
