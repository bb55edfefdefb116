// SPDX-License-Identifier: Apache-2.0
//
// What is promised of a coordinator that is gone for up to ten minutes: nobody ends for it, and no work is done again.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "coordinator/core/job_event.h"
#include "tests/simulation/sim_history.h"

namespace ferment::simulation {

/// P12. A history has one such outage at most; faults end a while before it does, so that whoever lives finds the
/// coordinator at once.
class SimOutageRules {
 public:
  explicit SimOutageRules(SimHistory& history) : history_(history) {}

  /// No coordinator is up until `end`. `in_hand`: leases that stand in the log, and that labelers work on or have
  /// ahead.
  void Began(SimTime end, const std::vector<coordinator::LeaseKey>& in_hand);
  /// This process holds the token of its job's present attempt.
  void Trains(const std::string& run_id, const std::string& job_id, std::uint64_t process);

  void Take(std::span<const coordinator::Event> events);
  /// The labeler itself gives it up, or dies.
  void Left(const coordinator::LeaseKey& key) { in_hand_.erase(key); }
  /// It ends, of whatever but a coordinator that it does not find.
  void TrainerGone(std::uint64_t process);
  /// A call that began then is not tried again.
  void GaveUp(const std::string& node, SimTime began);
  /// Once every run has ended.
  void Final();

 private:
  void On(const coordinator::ShardCommitted& event) { in_hand_.erase(event.key); }
  void On(const coordinator::ShardFailed& event) { in_hand_.erase(event.key); }
  void On(const coordinator::ShardReleased& event);
  void On(const coordinator::AttemptExited& event);
  void On(const coordinator::JobCompleted& event) { training_.erase({event.run_id, event.job_id}); }
  void On(const coordinator::JobEnded& event) { Drop(event.run_id, event.job_id); }
  void On(const coordinator::TeacherTripped& event) { Drop(event.run_id, event.job_id); }
  void Drop(const std::string& run_id, const std::string& job_id);

  SimHistory& history_;
  /// 0: none has begun.
  SimTime end_{0};
  std::set<coordinator::LeaseKey> in_hand_;
  /// By run and job.
  std::map<std::pair<std::string, std::string>, std::uint64_t> training_;
};

}  // namespace ferment::simulation
