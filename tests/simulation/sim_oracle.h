// SPDX-License-Identifier: Apache-2.0
//
// Judges what left the coordinator against what was promised: answers against the log, the log against restarts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/scheduler/run_engine.h"
#include "tests/simulation/sim_files.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_log_rules.h"

namespace ferment::simulation {

/// When and by whom a request was decided.
struct Moment {
  std::uint64_t term = 0;
  MonotonicTime clock;
  /// The shard that it was about, as it stood in the log then.
  ShardFacts before;
  /// How often its run had been reopened.
  std::uint32_t generation = 0;
};

class SimOracle {
 public:
  SimOracle(SimHistory& history, SimLogRules& log, SimFiles& files) : history_(history), log_(log), files_(files) {}

  /// The store was opened under this term, and the book was read back at `now` by the coordinator's clock.
  void Restored(std::uint64_t term, MonotonicTime now, const coordinator::JobBook& book);
  /// Notes how what a request is about stands in the log.
  void FillFromLog(const coordinator::LeaseKey& about, Moment& moment) const;
  std::uint64_t latest_term() const { return latest_term_; }

  // Answers, at the instant at which they leave the coordinator.
  void Granted(const Moment& moment, const coordinator::LeaseRequest& request, const coordinator::GrantedLease& lease);
  void Renewed(const Moment& moment, const coordinator::LeaseKey& key, const Status& answer);
  void Committed(const Moment& moment, const coordinator::ShardResult& result, const Result<bool>& answer);
  void ShardGivenUp(const Moment& moment, const coordinator::ShardFailure& failure, const Status& answer);
  void TokenGiven(const coordinator::TokenRequest& request, const Result<std::uint64_t>& answer);
  void JobCompleted(const Moment& moment, const coordinator::TokenKey& key, const Status& answer);
  void Submitted(const std::string& request_id, const std::string& run_dir, const Result<std::string>& answer);
  void Cancelled(const Moment& moment, const std::string& run_id, const std::string& request_id, const Status& answer);
  /// A run was suspended or resumed, or its teacher rolled back.
  void Changed(const std::string& run_id, const std::string& request_id, const Status& answer);
  void Seen(const std::string& run_id, const Status& answer);

  // What happens around it.
  /// The labeler itself ends its lease or process: from now on Aborted is a fair answer.
  void LeaseLeft(const coordinator::LeaseKey& key);
  void LabelerGone(const std::string& labeler);
  /// It was told that another process has its name; there never is one beside it.
  void LabelerFenced(const std::string& labeler, const std::string& holder);
  void LaunchPlanned(const coordinator::Run& run, const coordinator::Job& job, SimTime now);
  void Launched(const coordinator::LaunchKey& key);
  /// `process` is about to write under the token of this attempt. Once told to leave it ends the step that it is in.
  void TrainerWrites(const coordinator::LaunchKey& key, std::uint64_t process, bool told_to_leave, SimTime now);
  /// Its report was taken at this time.
  void TrainerHeard(const coordinator::LaunchKey& key, SimTime now);
  void TrainerGone(std::uint64_t process);
  /// The start that the launcher watches died, and not because it was the second: nobody can know of another then.
  void WatchedStartDied(const coordinator::LaunchKey& key);

  /// Once every run has ended.
  void Final(const coordinator::JobBook& book);

 private:
  struct LeaseFacts {
    std::string labeler;
    MonotonicTime deadline;
    std::chrono::milliseconds time{0};
    bool left = false;
  };
  /// A grant of a former coordinator, seen late, lasts as long as the latest one gave it.
  MonotonicTime LeaseEnd(const Moment& moment, std::chrono::milliseconds time) const;
  ShardFacts InLog(const coordinator::LeaseKey& key) const;
  /// Compares what a coordinator knows with what the log says; unsaved decisions would differ.
  void CheckBook(const coordinator::JobBook& book, const std::string& when);
  void CheckAttempt(const coordinator::Job& job, const JobFacts& facts, const std::string& name);
  /// What a student finds when it begins.
  void CheckLabelsToLearn(const coordinator::LaunchKey& key, std::uint32_t round);
  void CheckShards(const coordinator::Job& job, const JobFacts& facts, const std::string& name);

  SimHistory& history_;
  SimLogRules& log_;
  SimFiles& files_;
  std::uint64_t latest_term_ = 0;
  MonotonicTime latest_began_;
  std::map<coordinator::LeaseKey, LeaseFacts> leases_;
  /// By labeler, how often it was forgotten, and call: what it got when it first got any. A labeler of the simulation
  /// asks for one lease at a time.
  std::map<std::tuple<std::string, std::uint32_t, std::uint64_t>, coordinator::LeaseKey> granted_first_;
  std::map<std::string, std::string> submissions_;
  /// request -> generation of the run in which it was first acknowledged.
  std::map<std::string, std::uint32_t> cancel_requests_;
  std::set<std::string> failures_taken_;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, std::string> tokens_;
  struct Writer {
    std::uint64_t process = 0;
    SimTime heard{0};
    bool gone = false;
    /// When it was first seen to step on labels of a stopped teacher.
    std::optional<SimTime> unfit_since = {};
  };
  std::set<std::tuple<std::string, std::string, std::uint32_t>> watched_died_;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, Writer> writers_;
};

}  // namespace ferment::simulation
