// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_oracle.h"

#include "tests/simulation/sim_teacher_rules.h"

namespace ferment::simulation {
namespace {

using coordinator::Job;
using coordinator::JobBook;
using coordinator::JobState;
using coordinator::LeaseKey;
using coordinator::Run;
using coordinator::RunState;
using coordinator::ShardState;

/// A trainer reports every second.
constexpr SimTime kHeardLately = std::chrono::seconds(10);
/// A coordinator that is slow to pass on a signal takes up to five seconds, and a step is one.
constexpr SimTime kStopOnItsWay = std::chrono::seconds(6);

using simulation::Name;

std::string Name(const coordinator::LaunchKey& key) {
  return key.run_id + "/" + key.job_id + "/" + std::to_string(key.attempt);
}

}  // namespace

void SimOracle::CheckBook(const JobBook& book, const std::string& when) {
  for (const auto& [run_id, facts] : log_.runs()) {
    const Run* run = book.FindRun(run_id);
    if (facts.forgotten) {
      if (run != nullptr) history_.Violate("P2", when + ": a run that was forgotten is there: run=" + run_id);
      continue;
    }
    if (run == nullptr) {
      history_.Violate("P2", when + ": a run is lost: run=" + run_id);
      return;
    }
    if ((run->state == RunState::kRunning) != facts.running ||
        (facts.running && facts.cancelled && !run->cancel_requested)) {
      history_.Violate("P2", when + ": an end or a cancel is lost: run=" + run_id);
    }
    for (const auto& [job_id, job_facts] : facts.jobs) {
      const Job* job = run->FindJob(job_id);
      if (job == nullptr || job->shards.size() != job_facts.shards.size()) {
        history_.Violate("P1", when + ": shards are lost: " + run_id + "/" + job_id);
        return;
      }
      CheckAttempt(*job, job_facts, when + ": " + run_id + "/" + job_id);
      CheckShards(*job, job_facts, when + ": " + run_id + "/" + job_id);
    }
  }
}

void SimOracle::CheckAttempt(const Job& job, const JobFacts& facts, const std::string& name) {
  if (HasEnded(job.state) != HasEnded(facts.state)) history_.Violate("P2", name + ": an end of a job is lost");
  if (facts.shard_job) return;
  const bool known = job.attempt.number == facts.attempt && job.last_token == facts.token;
  const bool current = facts.attempt > 0 && !facts.reopened;
  if (!known || (current && job.attempt.exit_code.has_value() != facts.exited)) {
    history_.Violate("P2", name + ": an attempt, its token or its end is lost");
  }
  if (facts.completed && !job.attempt.completed) history_.Violate("P2", name + ": a result is lost");
}

void SimOracle::CheckShards(const Job& job, const JobFacts& facts, const std::string& name) {
  coordinator::RecordCounts total;
  std::uint64_t committed = 0;
  for (std::size_t i = 0; i < facts.shards.size(); ++i) {
    const ShardFacts& shard = facts.shards[i];
    const coordinator::Shard& kept = job.shards[i];
    const bool same = shard.committed == (kept.state == ShardState::kCommitted) &&
                      shard.leased == (kept.state == ShardState::kLeased) &&
                      (!shard.committed || shard.files == job.FilesOf(kept));
    if (!same) history_.Violate("P2", name + ": a commit or a lease is lost: shard=" + std::to_string(i));
    if (!shard.committed) continue;
    ++committed;
    total.Add(shard.counts);
  }
  if (job.committed != committed || job.records.read != total.read || job.records.quarantined != total.quarantined) {
    history_.Violate("P7", name + ": totals are not the sum of the label sets: read=" +
                               std::to_string(job.records.read) + " sum=" + std::to_string(total.read));
  }
}

void SimOracle::Restored(std::uint64_t term, MonotonicTime now, const JobBook& book) {
  latest_term_ = term;
  latest_began_ = now;
  for (auto& [key, lease] : leases_) {
    const ShardFacts shard = InLog(key);
    lease.deadline = now + lease.time;
    if (!shard.leased || shard.epoch != key.epoch) lease.left = true;
  }
  for (const auto& [request_id, run_id] : submissions_) {
    const Run* run = book.FindSubmission(request_id);
    if (log_.FindRun(run_id)->forgotten) continue;
    if (run == nullptr || run->run_id != run_id) {
      history_.Violate("P2", "an acknowledged submission is lost: request=" + request_id + " run=" + run_id);
    }
  }
  CheckBook(book, "after a restart");
}

MonotonicTime SimOracle::LeaseEnd(const Moment& moment, std::chrono::milliseconds time) const {
  return (moment.term == latest_term_ ? moment.clock : latest_began_) + time;
}

void SimOracle::Granted(const Moment& moment, const coordinator::LeaseRequest& request,
                        const coordinator::GrantedLease& lease) {
  const ShardFacts* shard = log_.FindShard(lease.key);
  if (shard == nullptr || shard->epoch < lease.key.epoch) {
    history_.Violate("P2", "a lease was granted before it was logged: " + Name(lease.key));
  }
  const auto call = std::tuple(request.labeler_id, log_.TimesForgotten(request.labeler_id), request.call);
  const coordinator::LeaseKey& first = granted_first_.emplace(call, lease.key).first->second;
  if (first != lease.key) {
    history_.Violate("T1.3", "one call was granted two leases: labeler=" + request.labeler_id + " call=" +
                                 std::to_string(request.call) + " first=" + Name(first) + " then=" + Name(lease.key));
  }
  // What was granted again, to a call that came twice, may have been left before.
  LeaseFacts& facts = leases_[lease.key];
  facts = {request.labeler_id.substr(0, request.labeler_id.find('/')), LeaseEnd(moment, lease.lease_time),
           lease.lease_time, facts.left};
}

ShardFacts SimOracle::InLog(const LeaseKey& key) const {
  const ShardFacts* shard = log_.FindShard(key);
  return shard == nullptr ? ShardFacts() : *shard;
}

void SimOracle::FillFromLog(const LeaseKey& about, Moment& moment) const {
  moment.before = InLog(about);
  const RunFacts* run = log_.FindRun(about.run_id);
  if (run != nullptr) moment.generation = run->generation;
}

void SimOracle::Renewed(const Moment& moment, const LeaseKey& key, const Status& answer) {
  const auto lease = leases_.find(key);
  if (answer.ok()) {
    if (!moment.before.leased || moment.before.epoch != key.epoch)
      history_.Violate("T1.6", "a late renewal was accepted: " + Name(key));
    if (lease != leases_.end()) lease->second.deadline = LeaseEnd(moment, lease->second.time);
    return;
  }
  if (answer.code() != StatusCode::kAborted) return;
  const ShardFacts now = InLog(key);
  if (now.epoch != key.epoch || now.committed || now.cut_short) return;
  if (lease == leases_.end() || lease->second.left || moment.clock >= lease->second.deadline) return;
  history_.Violate("P12",
                   "a lease was taken before its time was over: " + Name(key) + " labeler=" + lease->second.labeler);
}

void SimOracle::Committed(const Moment& moment, const coordinator::ShardResult& result, const Result<bool>& answer) {
  const ShardFacts& before = moment.before;
  const ShardFacts* shard = log_.FindShard(result.key);
  if (answer) {
    if (shard == nullptr || !shard->committed || shard->files != result.files) {
      history_.Violate("P2", "a commit was acknowledged and is not in the log: " + Name(result.key));
    } else if (shard->canaries != result.canaries) {
      history_.Violate("P16", "canaries are lost: " + Name(result.key));
    } else if (!*answer && shard->commit_epoch != result.key.epoch) {
      history_.Violate("P3", "a zombie's commit was accepted: " + Name(result.key));
    }
    return;
  }
  const StatusCode code = answer.error().code();
  if (before.committed && before.files == result.files && code == StatusCode::kAborted) {
    history_.Violate("T1.3", "a commit that was made was refused when it came again: " + Name(result.key));
  }
  const bool stale = shard != nullptr && !before.committed && before.epoch > result.key.epoch;
  if (stale && code == StatusCode::kInternal) history_.Violate("P3", "a zombie was not told: " + Name(result.key));
}

void SimOracle::ShardGivenUp(const Moment& moment, const coordinator::ShardFailure& failure, const Status& answer) {
  if (answer.ok()) {
    failures_taken_.insert(failure.request_id);
    return;
  }
  const ShardFacts& shard = moment.before;
  const bool present = shard.epoch == failure.key.epoch && !shard.committed && !shard.cut_short;
  if (present && answer.code() == StatusCode::kAborted && failures_taken_.contains(failure.request_id)) {
    history_.Violate("T1.3", "a failure that was taken was refused when it came again: " + Name(failure.key));
  }
}

void SimOracle::TokenGiven(const coordinator::TokenRequest& request, const Result<std::uint64_t>& answer) {
  if (!answer) return;
  const JobFacts* job = log_.FindJob(request.run_id, request.job_id);
  if (job == nullptr || job->token < *answer) history_.Violate("P2", "a token was given before it was logged");
  const auto [held, fresh] =
      tokens_.emplace(std::tuple(request.run_id, request.job_id, request.attempt), request.incarnation);
  if (!fresh && held->second != request.incarnation) {
    history_.Violate("P5", "two hold the run token: " + request.run_id + "/" + request.job_id + "/" +
                               std::to_string(request.attempt));
  }
}

void SimOracle::JobCompleted(const Moment& moment, const coordinator::TokenKey& key, const Status& answer) {
  if (!answer.ok()) return;
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
  // Within the batch the run may have been reopened behind it, with all that was taken before.
  if (job != nullptr && log_.FindRun(key.run_id)->generation > moment.generation &&
      log_.CompletedUnder(key.run_id, key.job_id, job->attempt) == key.token) {
    return;
  }
  if (job == nullptr || !job->completed || job->token != key.token) {
    history_.Violate(job != nullptr && job->token != key.token ? "P3" : "P2",
                     "a result was taken wrongly: " + key.run_id + "/" + key.job_id);
  }
}

void SimOracle::Submitted(const std::string& request_id, const std::string& run_dir,
                          const Result<std::string>& answer) {
  if (!answer) return;
  const RunFacts* run = log_.FindRun(*answer);
  if (run == nullptr || run->run_dir != run_dir) {
    history_.Violate("P2", "a submission was acknowledged and is not in the log: request=" + request_id);
  }
  const std::string logged = log_.RunOfRequest(request_id);
  // A run that had succeeded is given as it is; that leaves nothing in the log.
  if (logged.empty()) return;
  const auto [first, fresh] = submissions_.emplace(request_id, *answer);
  if (fresh || first->second == *answer) return;
  if (!log_.FindRun(first->second)->forgotten) history_.Violate("T1.3", "two runs for one request: " + request_id);
  first->second = *answer;
}

void SimOracle::Cancelled(const Moment& moment, const std::string& run_id, const std::string& request_id,
                          const Status& answer) {
  if (!answer.ok()) return;
  const RunFacts* run = log_.FindRun(run_id);
  if (run == nullptr) {
    history_.Violate("P2", "a cancel of nothing: run=" + run_id);
    return;
  }
  const std::uint32_t first =
      cancel_requests_.emplace(request_id, log_.GenerationOfCancel(request_id, moment.generation)).first->second;
  if (first == run->generation) {
    if (!run->running || run->cancelled) return;
    history_.Violate("P2", "a cancel was acknowledged and is not in the log: run=" + run_id);
  } else if (run->cancelled && run->cancel_request == request_id) {
    history_.Violate("T1.3", "a cancel of long ago ended the reopened run: run=" + run_id);
  }
}

void SimOracle::Changed(const std::string& run_id, const std::string& request_id, const Status& answer) {
  if (!answer.ok() || log_.RunOfRequest(request_id) == run_id) return;
  history_.Violate("P2", "a change was acknowledged and is not in the log: run=" + run_id + " request=" + request_id);
}

void SimOracle::Seen(const std::string& run_id, const Status& answer) {
  const RunFacts* run = log_.FindRun(run_id);
  if (answer.code() == StatusCode::kNotFound && (run == nullptr || !run->forgotten)) {
    history_.Violate("P2", "an acknowledged run cannot be seen: run=" + run_id);
  }
}

void SimOracle::LeaseLeft(const LeaseKey& key) {
  if (const auto lease = leases_.find(key); lease != leases_.end()) lease->second.left = true;
}

void SimOracle::LabelerGone(const std::string& labeler) {
  for (auto& [key, lease] : leases_) {
    if (lease.labeler == labeler) lease.left = true;
  }
}

void SimOracle::LabelerFenced(const std::string& labeler, const std::string& holder) {
  history_.Violate("P12", "a labeler lost its name to a process that had died: " + labeler + " holder=" + holder);
}

void SimOracle::LaunchPlanned(const Run& run, const Job& job, SimTime now) {
  const std::string name = run.run_id + "/" + job.plan.job_id;
  const RunFacts* facts = log_.FindRun(run.run_id);
  if (facts != nullptr && facts->cancelled) history_.Violate("P2", "a trainer of a cancelled run is launched: " + name);
  for (std::uint32_t attempt = 1; attempt < job.attempt.number; ++attempt) {
    const auto writer = writers_.find({run.run_id, job.plan.job_id, attempt});
    if (watched_died_.contains({run.run_id, job.plan.job_id, attempt})) continue;
    // It waits for its answer at most, and writes nothing any more.
    if (log_.CompletedUnder(run.run_id, job.plan.job_id, attempt) != 0) continue;
    if (writer == writers_.end() || writer->second.gone || now - writer->second.heard > kHeardLately) continue;
    history_.Violate("P5", "a new attempt while the holder of the token works and is heard: " + name + "/" +
                               std::to_string(attempt));
  }
}

void SimOracle::Launched(const coordinator::LaunchKey& key) {
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
  if (job == nullptr || job->attempt < key.attempt) {
    history_.Violate("P5", "launched before its intent was logged: " + Name(key));
  }
}

void SimOracle::TrainerWrites(const coordinator::LaunchKey& key, std::uint64_t process, bool told_to_leave,
                              SimTime now) {
  const auto [writer, fresh] =
      writers_.emplace(std::tuple(key.run_id, key.job_id, key.attempt), Writer{process, {}, {}});
  if (!fresh && writer->second.process != process) {
    history_.Violate("P5", "two processes write one attempt: " + Name(key));
  }
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
  if (job == nullptr || !key.job_id.starts_with("cotrain") || told_to_leave) return;
  if (fresh) CheckLabelsToLearn(key, job->round);
  const std::string unfit = UnfitTeacher(*log_.FindRun(key.run_id), job->round);
  if (unfit.empty()) return;
  std::optional<SimTime>& since = writer->second.unfit_since;
  if (!since) since = now;
  if (now - *since <= kStopOnItsWay) return;
  history_.Violate("P16", "a student steps and " + unfit + ": " + Name(key));
}

void SimOracle::CheckLabelsToLearn(const coordinator::LaunchKey& key, std::uint32_t round) {
  for (const auto& [job_id, job] : log_.FindRun(key.run_id)->jobs) {
    if (!job.label || job.round != round || job.tripped) continue;
    const std::size_t visible = files_.Index(job.index_folder).size();
    if (visible >= job.shards.size()) continue;
    history_.Violate("P10", "a student begins, and its round's label sets cannot all be seen: " + Name(key) +
                                " seen=" + std::to_string(visible));
  }
}

void SimOracle::TrainerHeard(const coordinator::LaunchKey& key, SimTime now) {
  const auto writer = writers_.find({key.run_id, key.job_id, key.attempt});
  if (writer != writers_.end()) writer->second.heard = now;
}

void SimOracle::WatchedStartDied(const coordinator::LaunchKey& key) {
  watched_died_.emplace(key.run_id, key.job_id, key.attempt);
}

void SimOracle::TrainerGone(std::uint64_t process) {
  for (auto& [attempt, writer] : writers_) {
    if (writer.process == process) writer.gone = true;
  }
}

void SimOracle::Final(const JobBook& book) {
  CheckBook(book, "at the end");
  for (const auto& [run_id, run] : log_.runs()) {
    if (run.running) history_.Violate("live", "a run has not ended: run=" + run_id);
    // Its folder may be another's by now.
    if (run.forgotten) continue;
    const bool well = book.FindRun(run_id) != nullptr && book.FindRun(run_id)->state == RunState::kSucceeded;
    if (well && !files_.HasReport(run.run_dir)) history_.Violate("P1", "succeeded without a report: run=" + run_id);
    for (const auto& [job_id, job] : run.jobs) {
      if (!job.label || job.state != JobState::kSucceeded) continue;
      const auto& visible = files_.Index(job.index_folder);
      for (std::size_t i = 0; i < job.shards.size(); ++i) {
        const auto entry = visible.find(i);
        if (entry == visible.end() || entry->second != job.shards[i].files.at(0).sha256) {
          history_.Violate("P1",
                           "a label set is not visible: " + run_id + "/" + job_id + " shard=" + std::to_string(i));
        }
      }
    }
  }
}

}  // namespace ferment::simulation
