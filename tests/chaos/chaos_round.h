// SPDX-License-Identifier: Apache-2.0
//
// One round: a cluster, people, faults for a while, then quiet until every run has ended, then the judgement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/chaos/chaos_oracle.h"

namespace ferment::chaos {

enum class RoundKind {
  /// Many shards, labelers without LibTorch, three teachers a run; one run is cancelled and opened again.
  kLeaseStorm,
  /// One run of the real labeler and the real trainer, two ranks, through all phases.
  kWholeRun,
  /// A storm without end: runs follow each other, and what processes and disk hold is watched.
  kSoak,
};

struct RoundPlan {
  std::uint64_t seed = 1;
  RoundKind kind = RoundKind::kLeaseStorm;
  bool postgres = false;
  bool clocks = false;
  int labelers = 6;
  /// Records of the FR source, eight a shard.
  int records = 800;
  /// Faults stop after this, or when all is done.
  std::chrono::seconds faults{12};
  /// Faults come so many times less often; a coordinator that leads and a labeler live for a quarter of the time.
  int rarity = 1;
  /// Nothing is broken: what others are compared with.
  bool calm = false;
};

/// Returns: what the seed says.
RoundPlan PlanOf(std::uint64_t seed);
/// Returns: an hour of T6.3: a twentieth of a storm's faults, four labelers, a few commits a second.
RoundPlan SoakOf(std::uint64_t seed);
/// Returns: "storm", "whole", "soak".
std::string NameOf(RoundKind kind);
/// Returns: the flags of chaos_rounds that make this round again.
std::string FlagsOf(const RoundPlan& plan);

struct RoundSurroundings {
  std::filesystem::path folder;
  std::string mark;
  /// Of a database that is empty; only with `postgres`.
  std::string database;
  std::function<void()> crash_database = nullptr;
};

struct RoundOutcome {
  std::vector<Breach> breaches = {};
  std::map<std::string, int> faults = {};
  int commits_acknowledged = 0;
  int commits_refused = 0;
  int leases = 0;
  int restarts = 0;
  std::uint64_t terms = 0;
  std::chrono::milliseconds took{0};
  /// From the last fault until all had ended.
  std::chrono::milliseconds quiet{0};
  /// Of a whole run: what each job brought, by name; equal in all rounds.
  std::map<std::string, std::string> digests = {};
  /// Of a soak: what was held, for people.
  std::vector<std::string> held = {};
};

RoundOutcome RunRound(const RoundPlan& plan, const RoundSurroundings& surroundings);

}  // namespace ferment::chaos
