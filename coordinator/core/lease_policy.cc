// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/lease_policy.h"

namespace ferment::coordinator {
namespace {

/// How far to look past shards that the labeler itself lost.
constexpr int kLookAhead = 64;

std::uint64_t PickIn(const Job& job, const Labeler& labeler) {
  int looked = 0;
  for (const std::uint64_t index : job.pending) {
    if (job.shards[index].labeler_id != labeler.labeler_id) return index;
    if (++looked == kLookAhead) break;
  }
  return *job.pending.begin();
}

/// Returns: whether the run has a shard for this labeler, which `choice` then names; else says in `choice` why not,
/// where nothing says so yet.
bool ChooseIn(const Run& run, const Labeler& labeler, LeaseChoice& choice) {
  for (const Job& job : run.jobs) {
    if (!IsShardPhase(job.plan.phase) || HasEnded(job.state)) continue;
    const bool open = !run.suspended && job.state == JobState::kRunning && job.failed == 0 && job.tripped.empty();
    if (open && !job.pending.empty()) {
      const std::string& wanted = job.work.instruction_set;
      if (wanted.empty() || wanted == labeler.instruction_set) {
        const std::uint64_t index = PickIn(job, labeler);
        choice.kind = LeaseChoice::Kind::kGrant;
        choice.key = {run.run_id, job.plan.job_id, index, job.shards[index].epoch + 1};
        return true;
      }
      if (choice.kind == LeaseChoice::Kind::kIdle) {
        choice.kind = LeaseChoice::Kind::kWrongMachine;
        choice.instruction_set = wanted;
      }
    } else if (choice.kind == LeaseChoice::Kind::kIdle) {
      choice.kind = LeaseChoice::Kind::kNothingNow;
    }
  }
  return false;
}

}  // namespace

LeaseChoice ChooseShard(const JobBook& book, const Labeler& labeler) {
  LeaseChoice choice;
  const Run* chosen = nullptr;
  for (const std::string& run_id : book.run_order()) {
    const Run& run = *book.FindRun(run_id);
    if (run.state != RunState::kRunning || run.cancel_requested) continue;
    if (chosen != nullptr && run.priority <= chosen->priority) continue;
    if (ChooseIn(run, labeler, choice)) chosen = &run;
  }
  return choice;
}

}  // namespace ferment::coordinator
