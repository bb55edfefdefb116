// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/suspect.h"

#include <algorithm>
#include <set>

namespace ferment::coordinator {

int Doubt(std::string_view name, std::string_view host, const Labeler& labeler) {
  if (name == labeler.name) return 2;
  return !host.empty() && host == labeler.host ? 1 : 0;
}

namespace {

/// Returns: how little is new about this labeler dying with it too; 0: another host than of those that died alone.
int Doubt(const std::vector<Death>& deaths, const Labeler& labeler) {
  int doubt = 0;
  for (const Death& one : deaths) {
    if (one.alone) doubt = std::max(doubt, Doubt(NameOf(one.labeler_id), one.host, labeler));
  }
  return doubt;
}

bool AnyMayReturn(const std::vector<Death>& deaths, const MayReturn& may_return) {
  return std::any_of(deaths.begin(), deaths.end(), [&](const Death& one) { return may_return(one.labeler_id); });
}

std::size_t CountHosts(const std::vector<Death>& deaths) {
  std::set<std::string_view> hosts;
  for (const Death& one : deaths) {
    if (one.alone) hosts.insert(one.host.empty() ? NameOf(one.labeler_id) : std::string_view(one.host));
  }
  return hosts.size();
}

}  // namespace

bool CameFurther(const PlannedShard& plan, const std::vector<Death>& before, std::uint64_t records_done) {
  if (before.empty()) return false;
  std::uint64_t furthest = 0;
  for (const Death& one : before) furthest = std::max(furthest, one.records_done);
  return records_done >= furthest + std::max<std::uint64_t>(plan.record_count / 2, 1);
}

bool IsSuspect(const Job& job, std::uint64_t shard) {
  const auto deaths = job.deaths.find(shard);
  return deaths != job.deaths.end() && deaths->second.size() >= kSuspectAfter;
}

std::size_t CountSuspects(const Job& job) {
  return static_cast<std::size_t>(std::count_if(job.deaths.begin(), job.deaths.end(), [](const auto& shard_and_deaths) {
    return shard_and_deaths.second.size() >= kSuspectAfter;
  }));
}

std::size_t CountAlone(const std::vector<Death>& deaths) {
  return static_cast<std::size_t>(std::count_if(deaths.begin(), deaths.end(), [](const Death& d) { return d.alone; }));
}

bool MayTryAlone(const std::vector<Death>& deaths, const Labeler& labeler, const std::vector<Present>& others,
                 const MayReturn& may_return) {
  if (AnyMayReturn(deaths, may_return)) return false;
  // All that is left to know then is whether another host dies of it too.
  const bool of_new_hosts = CountAlone(deaths) >= kDeathLimit;
  const int doubt = Doubt(deaths, labeler);
  if (of_new_hosts && doubt > 0) return false;
  return std::none_of(others.begin(), others.end(), [&](const Present& other) {
    const int others_doubt = Doubt(deaths, *other.labeler);
    if (other.labeler->labeler_id == labeler.labeler_id || (of_new_hosts && others_doubt > 0)) return false;
    if (!labeler.trusted && (other.labeler->trusted || other.at_work)) return true;
    return other.labeler->trusted == labeler.trusted && others_doubt < doubt;
  });
}

bool IsToBlame(const std::vector<Death>& deaths, const std::vector<const Labeler*>& alive,
               const MayReturn& may_return) {
  if (CountAlone(deaths) < kDeathLimit || AnyMayReturn(deaths, may_return)) return false;
  return CountHosts(deaths) > 1 ||
         std::none_of(alive.begin(), alive.end(), [&](const Labeler* one) { return Doubt(deaths, *one) == 0; });
}

std::string DeathsText(std::uint64_t shard, const PlannedShard& plan, const std::vector<Death>& deaths) {
  std::string text = "shard " + std::to_string(shard) + " kills its labelers: ";
  text += plan.group.empty() ? "first_record=" + std::to_string(plan.first_record) : "video=" + plan.group;
  text += " record_count=" + std::to_string(plan.record_count) + " deaths=" + std::to_string(deaths.size()) + " (";
  for (const Death& one : deaths) {
    if (&one != &deaths.front()) text += ", ";
    text +=
        std::string(NameOf(one.labeler_id)) + " on " + (one.host.empty() ? "a host that it did not name" : one.host);
    if (one.alone) text += " alone with it";
  }
  return text +
         "); the end of these labelers' logs, or the kernel's of their hosts, says how they died; mend or remove "
         "the record, or give labelers more memory, then submit the run again: what is committed stays";
}

}  // namespace ferment::coordinator
