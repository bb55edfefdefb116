// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/lease_policy.h"

#include <algorithm>
#include <utility>

namespace ferment::coordinator {
namespace {

/// How far to look past shards that the labeler itself lost.
constexpr int kLookAhead = 64;

/// Returns: whether this labeler, or the process before it of its name, held the shard last.
bool HeldLast(const Shard& shard, const Labeler& labeler) {
  return shard.labeler_id == labeler.labeler_id || NameOf(shard.labeler_id) == labeler.name;
}

bool Fits(const Job& job, const Labeler& labeler) {
  return job.work.instruction_set.empty() || job.work.instruction_set == labeler.instruction_set;
}

/// Returns: how little hope there is that this labeler does what these failed; 0: nothing speaks against it.
int Doubt(const std::vector<FailedBy>& failed_by, const Labeler& labeler) {
  int doubt = 0;
  for (const FailedBy& one : failed_by) doubt = std::max(doubt, Doubt(one.labeler, one.host, labeler));
  return doubt;
}

/// Returns: whether this labeler holds a suspect shard.
bool IsOnTrial(const JobBook& book, const Labeler& labeler) {
  for (const std::string& run_id : book.unfinished()) {
    for (const Job& job : book.FindRun(run_id)->jobs) {
      for (const std::uint64_t index : job.alone) {
        if (job.shards[index].labeler_id == labeler.labeler_id) return true;
      }
    }
  }
  return false;
}

class Chooser {
 public:
  Chooser(const JobBook& book, const Labeler& labeler, const Surroundings& around)
      : book_(book), labeler_(labeler), around_(around) {}

  /// Returns: whether the run has a shard for this labeler, which `choice` then names; else says in `choice` why not,
  /// where nothing says so yet.
  bool ChooseIn(const Run& run, LeaseChoice& choice) {
    for (const Job& job : run.jobs) {
      if (!IsShardPhase(job.plan.phase) || HasEnded(job.state)) continue;
      const bool open = IsOpen(run, job);
      if (open && job.CountPending() > 0 && !Fits(job, labeler_)) {
        if (choice.kind == LeaseChoice::Kind::kIdle) {
          choice.kind = LeaseChoice::Kind::kWrongMachine;
          choice.instruction_set = job.work.instruction_set;
        }
        continue;
      }
      if (const auto index = open ? PickIn(job) : std::nullopt) {
        choice = GrantOf(run, job, *index, /*alone=*/false);
        return true;
      }
      if (choice.kind == LeaseChoice::Kind::kIdle) choice.kind = LeaseChoice::Kind::kNothingNow;
    }
    return ChooseSuspectIn(run, choice);
  }

 private:
  static bool IsOpen(const Run& run, const Job& job) {
    return !run.suspended && job.state == JobState::kRunning && job.failed == 0 && job.tripped.empty();
  }
  static LeaseChoice GrantOf(const Run& run, const Job& job, std::uint64_t index, bool alone) {
    return {LeaseChoice::Kind::kGrant, {run.run_id, job.plan.job_id, index, job.shards[index].epoch + 1}, alone, ""};
  }

  bool ChooseSuspectIn(const Run& run, LeaseChoice& choice) {
    for (const Job& job : run.jobs) {
      if (job.suspects.empty() || !IsOpen(run, job) || !Fits(job, labeler_)) continue;
      const auto index = PickSuspectIn(job);
      if (!index) continue;
      if (book_.LeasesOf(labeler_.labeler_id).empty()) {
        choice = GrantOf(run, job, *index, /*alone=*/true);
      } else {
        choice = {LeaseChoice::Kind::kNothingNow, {}, false, ""};
      }
      return true;
    }
    return false;
  }

  /// Returns: of those that it may try, the one that fewest died with: a neighbour of a bad one is soon cleared.
  std::optional<std::uint64_t> PickSuspectIn(const Job& job) {
    std::optional<std::uint64_t> best;
    std::size_t fewest = 0;
    std::optional<std::vector<Present>> others;
    for (const std::uint64_t index : job.suspects) {
      const std::vector<Death>& deaths = job.deaths.at(index);
      if (best && CountAlone(deaths) >= fewest) continue;
      if (!others) {
        others = Alive();
        std::erase_if(*others, [&](const Present& other) { return other.cools_down || !Fits(job, *other.labeler); });
      }
      if (!MayTryAlone(deaths, labeler_, *others, around_.may_return)) continue;
      best = index;
      fewest = CountAlone(deaths);
      if (fewest == 0) break;
    }
    return best;
  }

  const std::vector<Present>& Alive() {
    if (!std::exchange(asked_, true)) alive_ = around_.alive();
    return alive_;
  }

  std::optional<std::uint64_t> PickIn(const Job& job) {
    std::optional<std::uint64_t> lost;
    int looked = 0;
    for (const std::uint64_t index : job.pending) {
      if (!MayTry(job, index)) continue;
      if (!HeldLast(job.shards[index], labeler_)) return index;
      if (!lost) lost = index;
      if (++looked == kLookAhead) break;
    }
    return lost;
  }

  bool MayTry(const Job& job, std::uint64_t index) {
    const auto failed = job.failed_by.find(index);
    if (failed == job.failed_by.end()) return true;
    const int doubt = Doubt(failed->second, labeler_);
    if (doubt == 0) return true;
    const bool last_try = job.shards[index].failures + 1 >= kShardFailureLimit;
    return std::ranges::none_of(Alive(), [&](const Present& other) {
      if (!Fits(job, *other.labeler)) return false;
      const int its_doubt = Doubt(failed->second, *other.labeler);
      return other.cools_down ? last_try && its_doubt == 0 : its_doubt < doubt;
    });
  }

  const JobBook& book_;
  const Labeler& labeler_;
  const Surroundings& around_;
  bool asked_ = false;
  std::vector<Present> alive_;
};

}  // namespace

std::chrono::milliseconds CoolDownFor(const CoolDownRule& rule, std::uint32_t failures) {
  if (rule.after == 0 || failures < rule.after) return std::chrono::milliseconds(0);
  std::chrono::milliseconds time = rule.first;
  for (std::uint32_t more = rule.after; more < failures && time < rule.longest; ++more) time *= 2;
  return std::min(time, rule.longest);
}

LeaseChoice ChooseShard(const JobBook& book, const Labeler& labeler, const Surroundings& around) {
  LeaseChoice choice;
  if (IsOnTrial(book, labeler)) {
    choice.kind = LeaseChoice::Kind::kNothingNow;
    return choice;
  }
  Chooser chooser(book, labeler, around);
  const Run* chosen = nullptr;
  for (const std::string& run_id : book.unfinished()) {
    const Run& run = *book.FindRun(run_id);
    if (run.cancel_requested) continue;
    if (chosen != nullptr && run.priority <= chosen->priority) continue;
    if (chooser.ChooseIn(run, choice)) chosen = &run;
  }
  return choice;
}

bool MustFail(const Job& job, std::uint64_t shard, const std::vector<Present>& alive, const MayReturn& may_return) {
  const auto deaths = job.deaths.find(shard);
  if (deaths == job.deaths.end() || job.shards[shard].state != ShardState::kPending) return false;
  std::vector<const Labeler*> fit;
  for (const Present& one : alive) {
    if (Fits(job, *one.labeler)) fit.push_back(one.labeler);
  }
  return IsToBlame(deaths->second, fit, may_return);
}

}  // namespace ferment::coordinator
