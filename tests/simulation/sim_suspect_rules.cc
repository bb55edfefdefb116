// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_suspect_rules.h"

#include <algorithm>
#include <variant>

namespace ferment::simulation {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): every event by its name

/// Two deaths make it suspect and four alone end it. A labeler that comes half a shard further clears it, twice at
/// most; so does a call of a dead one that arrives late.
constexpr std::uint64_t kMostDeaths = 16;
/// So many processes in a row that die alone with a shard are what nobody can tell from one that kills them.
constexpr std::ptrdiff_t kDeathsAlone = 4;

}  // namespace

void SimSuspectRules::Take(std::span<const Event> events) {
  for (const Event& event : events) {
    std::visit(
        [this](const auto& one) {
          if constexpr (requires { On(one); }) On(one);
        },
        event);
  }
}

void SimSuspectRules::Died(const LeaseKey& key) {
  if (++deaths_[PlaceOf(key)] <= kMostDeaths) return;
  history_.Violate(
      "deadly", "a shard goes on killing labelers: " + Name(key) + " deaths=" + std::to_string(deaths_[PlaceOf(key)]));
}

void SimSuspectRules::On(const RunReopened& event) {
  const auto of_run = [&](const auto& one) { return std::get<0>(one.first) == event.run_id; };
  std::erase_if(deaths_, of_run);
  std::erase_if(tried_alone_, of_run);
}

void SimSuspectRules::On(const JobEnded& event) {
  for (auto& [labeler, held] : leases_) {
    std::erase_if(held, [&](const auto& one) {
      return std::get<0>(one.first) == event.run_id && std::get<1>(one.first) == event.job_id;
    });
  }
}

void SimSuspectRules::On(const ShardLeased& event) {
  auto& held = leases_[event.labeler_id];
  const bool beside = std::any_of(held.begin(), held.end(), [](const auto& one) { return one.second; });
  if (beside || (event.alone && !held.empty())) {
    history_.Violate("alone", "a suspect shard is not held alone: labeler=" + event.labeler_id + " " + Name(event.key));
  }
  held.emplace(PlaceOf(event.key), event.alone);
  if (event.alone) tried_alone_[PlaceOf(event.key)].insert(event.labeler_id);
}

void SimSuspectRules::On(const LabelerReturned& event) {
  for (auto& [place, labelers] : tried_alone_) labelers.erase(event.labeler_id);
}

void SimSuspectRules::On(const ShardReleased& event) {
  if (event.reason == ReleaseReason::kFailed) {
    deaths_.erase(PlaceOf(event.key));
    tried_alone_.erase(PlaceOf(event.key));
  }
  Drop(event.key);
}

void SimSuspectRules::Drop(const LeaseKey& key) {
  for (auto& [labeler, held] : leases_) held.erase(PlaceOf(key));
}

void SimSuspectRules::On(const ShardCondemned& event) {
  if (plan_.IsDeadly(event.key)) return;
  const std::set<std::string>& tried = tried_alone_[PlaceOf(event.key)];
  if (std::ranges::count_if(tried, [&](const std::string& one) { return killed_.contains(one); }) >= kDeathsAlone)
    return;
  history_.Violate("innocent", "a shard that kills nobody is failed, and not for four killed alone with it: " +
                                   Name(event.key) + ": " + event.failure.message);
}

}  // namespace ferment::simulation
