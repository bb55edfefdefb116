// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/lease_policy.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ferment::coordinator {
namespace {

/// How far to look past shards that the labeler itself lost.
constexpr int kLookAhead = 64;

/// Returns: whether this labeler, or the process before it of its name, held the shard last. Ids are name/incarnation.
bool HeldLast(const Shard& shard, const Labeler& labeler) {
  const std::string_view held_by = shard.labeler_id;
  return held_by == labeler.labeler_id || held_by.substr(0, held_by.rfind('/')) == labeler.name;
}

bool Fits(const Job& job, const Labeler& labeler) {
  return job.work.instruction_set.empty() || job.work.instruction_set == labeler.instruction_set;
}

/// Returns: how little hope there is that this labeler does what these failed; 0: nothing speaks against it.
int Doubt(const std::vector<FailedBy>& failed_by, const Labeler& labeler) {
  int doubt = 0;
  for (const FailedBy& one : failed_by) {
    if (one.labeler == labeler.name) return 2;
    if (!one.host.empty() && one.host == labeler.host) doubt = 1;
  }
  return doubt;
}

class Chooser {
 public:
  Chooser(const Labeler& labeler, const WhoIsThere& there) : labeler_(labeler), there_(there) {}

  /// Returns: whether the run has a shard for this labeler, which `choice` then names; else says in `choice` why not,
  /// where nothing says so yet.
  bool ChooseIn(const Run& run, LeaseChoice& choice) {
    for (const Job& job : run.jobs) {
      if (!IsShardPhase(job.plan.phase) || HasEnded(job.state)) continue;
      const bool open = !run.suspended && job.state == JobState::kRunning && job.failed == 0 && job.tripped.empty();
      if (open && !job.pending.empty() && !Fits(job, labeler_)) {
        if (choice.kind == LeaseChoice::Kind::kIdle) {
          choice.kind = LeaseChoice::Kind::kWrongMachine;
          choice.instruction_set = job.work.instruction_set;
        }
        continue;
      }
      if (const auto index = open ? PickIn(job) : std::nullopt) {
        choice.kind = LeaseChoice::Kind::kGrant;
        choice.key = {run.run_id, job.plan.job_id, *index, job.shards[*index].epoch + 1};
        return true;
      }
      if (choice.kind == LeaseChoice::Kind::kIdle) choice.kind = LeaseChoice::Kind::kNothingNow;
    }
    return false;
  }

 private:
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
    if (!std::exchange(asked_, true)) others_ = there_();
    return std::none_of(others_.begin(), others_.end(), [&](const Labeler* other) {
      return Fits(job, *other) && Doubt(failed->second, *other) < doubt;
    });
  }

  const Labeler& labeler_;
  const WhoIsThere& there_;
  bool asked_ = false;
  std::vector<const Labeler*> others_;
};

}  // namespace

std::chrono::milliseconds CoolDownFor(const CoolDownRule& rule, std::uint32_t failures) {
  if (rule.after == 0 || failures < rule.after) return std::chrono::milliseconds(0);
  std::chrono::milliseconds time = rule.first;
  for (std::uint32_t more = rule.after; more < failures && time < rule.longest; ++more) time *= 2;
  return std::min(time, rule.longest);
}

LeaseChoice ChooseShard(const JobBook& book, const Labeler& labeler, const WhoIsThere& there) {
  LeaseChoice choice;
  Chooser chooser(labeler, there);
  const Run* chosen = nullptr;
  for (const std::string& run_id : book.run_order()) {
    const Run& run = *book.FindRun(run_id);
    if (run.state != RunState::kRunning || run.cancel_requested) continue;
    if (chosen != nullptr && run.priority <= chosen->priority) continue;
    if (chooser.ChooseIn(run, choice)) chosen = &run;
  }
  return choice;
}

}  // namespace ferment::coordinator
