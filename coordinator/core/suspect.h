// SPDX-License-Identifier: Apache-2.0
//
// Shards that labelers die with: which are suspect, who tries them, and when one is to blame. Pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/run_state.h"

namespace ferment::coordinator {

/// A shard that processes died with so often is suspect: it is tried alone, and after all others of its job. One death
/// is a machine's bad luck; after two a neighbour that was held beside it is blamed with it, and is soon cleared.
inline constexpr std::size_t kSuspectAfter = 2;
/// A shard that so many processes died with alone fails for good: as many as may give it up (kShardFailureLimit).
inline constexpr std::size_t kDeathLimit = 4;
/// Whose lease ran out may have been stopped or cut off. Longer silent than this it counts as dead, as far as no other
/// process has its name.
inline constexpr std::chrono::milliseconds kLongSilence{120'000};

/// One that lives, as far as can be known.
struct Present {
  const Labeler* labeler = nullptr;
  /// On what is not suspect, so that it may soon have committed it.
  bool at_work = false;
  /// It is granted nothing for a while.
  bool cools_down = false;
};

/// Returns: whether the one that lost this labeler's lease may yet call again.
using MayReturn = std::function<bool(std::string_view labeler_id)>;

/// Returns: how little hope there is that this labeler fares better than one of that name and host: 2: it has that
/// name, 1: that host, 0: nothing speaks against it.
int Doubt(std::string_view name, std::string_view host, const Labeler& labeler);

/// Returns: whether this process got so much further than those before it that these did not die of the shard. By half
/// of it: less may be between two renewals, and more than twice it cannot happen.
bool CameFurther(const PlannedShard& plan, const std::vector<Death>& before, std::uint64_t records_done);

bool IsSuspect(const Job& job, std::uint64_t shard);
std::size_t CountSuspects(const Job& job);
std::size_t CountAlone(const std::vector<Death>& deaths);

/// Returns: whether this labeler may now try the suspect shard alone. One that was always well, of another host than
/// died with it, comes first; and nobody tries it while one that lost it may yet call again.
bool MayTryAlone(const std::vector<Death>& deaths, const Labeler& labeler, const std::vector<Present>& others,
                 const MayReturn& may_return);

/// Returns: whether the shard is what they died of: kDeathLimit alone with it, none of which may yet call again, and on
/// two hosts where `alive` has another.
bool IsToBlame(const std::vector<Death>& deaths, const std::vector<const Labeler*>& alive, const MayReturn& may_return);

/// Returns: for a person: the shard, its records, who died with it, and what to do.
std::string DeathsText(std::uint64_t shard, const PlannedShard& plan, const std::vector<Death>& deaths);

}  // namespace ferment::coordinator
