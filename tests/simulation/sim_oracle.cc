// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_oracle.h"

namespace ferment::simulation {
namespace {

using coordinator::Job;
using coordinator::JobBook;
using coordinator::JobState;
using coordinator::LeaseKey;
using coordinator::Run;
using coordinator::RunState;
using coordinator::ShardState;

std::string Name(const LeaseKey& key) {
  return key.run_id + "/" + key.job_id + " shard=" + std::to_string(key.shard) + " epoch=" + std::to_string(key.epoch);
}

std::string Name(const coordinator::LaunchKey& key) {
  return key.run_id + "/" + key.job_id + "/" + std::to_string(key.attempt);
}

}  // namespace

void SimOracle::CheckTotals(const JobBook& book, const std::string& when) {
  for (const auto& [run_id, facts] : log_.runs()) {
    const Run* run = book.FindRun(run_id);
    if (run == nullptr) {
      history_.Violate("P2", when + ": a run is lost: run=" + run_id);
      return;
    }
    if ((run->state == RunState::kRunning) != facts.running)
      history_.Violate("P2", when + ": an end is lost: " + run_id);
    if (facts.running && facts.cancelled && !run->cancel_requested) {
      history_.Violate("P2", when + ": a cancel is lost: run=" + run_id);
    }
    for (const auto& [job_id, job_facts] : facts.jobs) {
      const Job* job = run->FindJob(job_id);
      if (job == nullptr || job->shards.size() != job_facts.shards.size()) {
        history_.Violate("P1", when + ": shards are lost: " + run_id + "/" + job_id);
        return;
      }
      if (!job_facts.exited && !HasEnded(job_facts.state) && job->attempt.number != job_facts.attempt) {
        history_.Violate("P2", when + ": an attempt is lost: " + run_id + "/" + job_id);
      }
      if (job_facts.completed && !job->attempt.completed && job->attempt.number == job_facts.attempt) {
        history_.Violate("P2", when + ": a result is lost: " + run_id + "/" + job_id);
      }
      coordinator::RecordCounts total;
      std::uint64_t committed = 0;
      for (std::size_t i = 0; i < job_facts.shards.size(); ++i) {
        const ShardFacts& shard = job_facts.shards[i];
        const coordinator::Shard& kept = job->shards[i];
        if (shard.committed != (kept.state == ShardState::kCommitted) ||
            (shard.committed && shard.files != kept.files)) {
          history_.Violate("P2", when + ": a commit is lost: " + run_id + "/" + job_id + " shard=" + std::to_string(i));
        }
        if (!shard.committed) continue;
        ++committed;
        total.Add(shard.counts);
      }
      if (job->committed != committed || job->records.read != total.read ||
          job->records.quarantined != total.quarantined) {
        history_.Violate("P7", when + ": totals are not the sum of the label sets: " + run_id + "/" + job_id +
                                   " read=" + std::to_string(job->records.read) + " sum=" + std::to_string(total.read));
      }
    }
  }
}

void SimOracle::Restored(std::uint64_t term, MonotonicTime now, const JobBook& book) {
  latest_term_ = term;
  for (auto& [key, lease] : leases_) lease.deadline = now + lease.time;
  for (const auto& [request_id, run_id] : submissions_) {
    const Run* run = book.FindSubmission(request_id);
    if (run == nullptr || run->run_id != run_id) {
      history_.Violate("P2", "an acknowledged submission is lost: request=" + request_id + " run=" + run_id);
    }
  }
  CheckTotals(book, "after a restart");
}

void SimOracle::Granted(const Moment& moment, const std::string& labeler, const coordinator::GrantedLease& lease) {
  const ShardFacts* shard = log_.FindShard(lease.key);
  if (shard == nullptr || shard->epoch < lease.key.epoch) {
    history_.Violate("P2", "a lease was granted before it was logged: " + Name(lease.key));
  }
  leases_[lease.key] = {labeler, moment.clock + lease.lease_time, lease.lease_time, false};
}

void SimOracle::Renewed(const Moment& moment, const LeaseKey& key, const Status& answer) {
  if (moment.term != latest_term_) return;
  const ShardFacts* shard = log_.FindShard(key);
  const bool present = shard != nullptr && shard->epoch == key.epoch;
  if (answer.ok()) {
    if (!present || shard->committed) history_.Violate("T1.6", "a late renewal was accepted: " + Name(key));
    if (const auto lease = leases_.find(key); lease != leases_.end()) {
      lease->second.deadline = moment.clock + lease->second.time;
    }
    return;
  }
  if (answer.code() != StatusCode::kAborted || !present || shard->committed) return;
  const auto lease = leases_.find(key);
  if (lease == leases_.end() || lease->second.left || moment.clock >= lease->second.deadline) return;
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
  if (HasEnded(job->state)) return;
  history_.Violate("P12",
                   "a lease was taken before its time was over: " + Name(key) + " labeler=" + lease->second.labeler);
}

void SimOracle::Committed(const coordinator::ShardResult& result, const ShardFacts& before,
                          const Result<bool>& answer) {
  const ShardFacts* shard = log_.FindShard(result.key);
  if (answer) {
    if (shard == nullptr || !shard->committed || shard->files != result.files) {
      history_.Violate("P2", "a commit was acknowledged and is not in the log: " + Name(result.key));
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

void SimOracle::ShardGivenUp(const coordinator::ShardFailure& failure, const Status& answer) {
  if (answer.ok()) {
    failures_taken_.insert(failure.request_id);
    return;
  }
  const ShardFacts* shard = log_.FindShard(failure.key);
  const bool present = shard != nullptr && shard->epoch == failure.key.epoch && !shard->committed;
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

void SimOracle::JobCompleted(const coordinator::TokenKey& key, const Status& answer) {
  if (!answer.ok()) return;
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
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
  if (!fresh && first->second != *answer) history_.Violate("T1.3", "two runs for one request: " + request_id);
}

void SimOracle::Cancelled(const std::string& run_id, const std::string& request_id, const Status& answer) {
  if (!answer.ok()) return;
  const RunFacts* run = log_.FindRun(run_id);
  const auto [first, fresh] = cancel_requests_.emplace(request_id, run == nullptr ? 0 : run->generation);
  if (run == nullptr) {
    history_.Violate("P2", "a cancel of nothing: run=" + run_id);
  } else if (first->second == run->generation && run->running && !run->cancelled) {
    history_.Violate("P2", "a cancel was acknowledged and is not in the log: run=" + run_id);
  } else if (!fresh && first->second != run->generation && log_.RunOfRequest(request_id) == run_id && run->cancelled &&
             run->cancel_request == request_id) {
    history_.Violate("T1.3", "a cancel of long ago ended the reopened run: run=" + run_id);
  }
}

void SimOracle::Seen(const Moment& moment, const std::string& run_id, const Status& answer) {
  // A fenced coordinator that has not noticed may know less; it changes nothing.
  if (answer.code() != StatusCode::kNotFound || moment.term != latest_term_) return;
  history_.Violate("P2", "an acknowledged run cannot be seen: run=" + run_id);
}

void SimOracle::LeaseLeft(const LeaseKey& key) {
  if (const auto lease = leases_.find(key); lease != leases_.end()) lease->second.left = true;
}

void SimOracle::LabelerGone(const std::string& labeler) {
  for (auto& [key, lease] : leases_) {
    if (lease.labeler == labeler) lease.left = true;
  }
}

void SimOracle::LaunchPlanned(const Run& run, const Job& job) {
  const RunFacts* facts = log_.FindRun(run.run_id);
  if (facts != nullptr && facts->cancelled) {
    history_.Violate("P2", "a trainer of a cancelled run is launched: " + run.run_id + "/" + job.plan.job_id);
  }
}

void SimOracle::Launched(const coordinator::LaunchKey& key) {
  const JobFacts* job = log_.FindJob(key.run_id, key.job_id);
  if (job == nullptr || job->attempt < key.attempt) {
    history_.Violate("P5", "launched before its intent was logged: " + Name(key));
  }
}

void SimOracle::TrainerWrites(const coordinator::LaunchKey& key, std::uint64_t process) {
  const auto [writer, fresh] = writers_.emplace(std::tuple(key.run_id, key.job_id, key.attempt), process);
  if (!fresh && writer->second != process) history_.Violate("P5", "two processes write one attempt: " + Name(key));
}

void SimOracle::Final(const JobBook& book) {
  CheckTotals(book, "at the end");
  for (const auto& [run_id, run] : log_.runs()) {
    if (run.running) history_.Violate("live", "a run has not ended: run=" + run_id);
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
