// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <set>

#include "tests/chaos/chaos_oracle.h"

namespace ferment::chaos {
namespace {

using Shard = std::tuple<std::string, std::string, std::uint64_t>;
using Attempt = std::tuple<std::string, std::string, std::uint32_t>;

std::string Name(const HistoryLine& line) {
  return line.run + "/" + line.job + " shard=" + std::to_string(line.shard) + " epoch=" + std::to_string(line.epoch) +
         " by=" + line.who;
}

/// Goes once through the history, by time.
class HistoryJudge {
 public:
  HistoryJudge(const Evidence& evidence, const LogFacts& log, std::vector<Breach>& breaches)
      : evidence_(evidence), log_(log), breaches_(breaches) {}

  void Take(const HistoryLine& line) {
    NoteHeld(line);
    if (line.what == "left") Left(line);
    if (line.what == "return" && line.outcome == "ok") Returned(line);
    if (line.what == "lease") Leased(line);
    if (line.what == "renew") Renewed(line);
    if (line.what == "commit") Committed(line);
    if (line.what == "token" && line.outcome == "ok") TokenTaken(line);
    if (line.what == "complete" && line.outcome == "ok") Completed(line);
    if (line.what == "submit" && line.outcome == "ok") Submitted(line);
    if (line.what == "cancel") Cancelled(line);
  }
  /// What was told of a run last is how it ended.
  void CheckStates() {
    for (const auto& [run_id, state] : evidence_.states) {
      const simulation::RunFacts run = log_.Run(run_id);
      if (run.running != (state == "running")) {
        Say("P2", "the log and a client disagree on how a run ended: run=" + run_id + " told=" + state);
      }
    }
  }

 private:
  void Say(const std::string& promise, const std::string& what) { breaches_.push_back({promise, what}); }

  /// Of the log as it was when `at` was over, the last row that is known to have been there then; no limit where the
  /// store was not looked at after that.
  std::int64_t LatestRowFor(std::chrono::nanoseconds at) const {
    const auto mark =
        std::find_if(evidence_.marks.begin(), evidence_.marks.end(), [&](const StoreMark& one) { return one.at > at; });
    return mark == evidence_.marks.end() ? std::numeric_limits<std::int64_t>::max() : mark->last_sequence;
  }
  /// The acknowledged must stand in the first look at the store that came after it, which may be after a kill.
  void MustBeLogged(const HistoryLine& line, std::optional<std::int64_t> sequence, const std::string& what) {
    if (!sequence) return Say("P2", what + " was acknowledged and is not in the log: " + ToText(line));
    if (*sequence > LatestRowFor(line.at)) {
      Say("P2", what + " was acknowledged and was not in the log after the next kill: " + ToText(line));
    }
  }
  std::optional<std::int64_t> CommitOf(const HistoryLine& line) const {
    const auto found = log_.commits.find({line.run, line.job, line.shard});
    return found == log_.commits.end() ? std::nullopt : std::optional(found->second);
  }
  simulation::ShardFacts ShardOf(const HistoryLine& line) const {
    const simulation::RunFacts run = log_.Run(line.run);
    const auto job = run.jobs.find(line.job);
    if (job == run.jobs.end() || line.shard >= job->second.shards.size()) return {};
    return job->second.shards[line.shard];
  }

  void Leased(const HistoryLine& line) {
    const auto lease = log_.leases.find({line.run, line.job, line.shard, line.epoch});
    MustBeLogged(line, lease == log_.leases.end() ? std::nullopt : std::optional(lease->second), "a lease");
    const auto [holder, fresh] = holders_.emplace(std::tuple(line.run, line.job, line.shard, line.epoch), line.who);
    if (!fresh && holder->second != line.who) {
      Say("P3", "two processes were granted one lease: " + Name(line) + " and=" + holder->second);
    }
    std::uint64_t& highest = highest_seen_[{line.run, line.job, line.shard}];
    highest = std::max(highest, line.epoch);
  }
  void Renewed(const HistoryLine& line) {
    const auto call = std::tuple(line.who, line.run, line.job, line.shard, line.epoch);
    if (line.outcome == "invoke") {
      // What somebody had been granted before this call began.
      renewals_[call] = highest_seen_[{line.run, line.job, line.shard}];
      return;
    }
    const auto begun = renewals_.find(call);
    if (line.outcome == "ok" && begun != renewals_.end() && begun->second > line.epoch) {
      Say("T1.6", "a lease was renewed after a later one had been granted: " + Name(line) +
                      " later=" + std::to_string(begun->second));
    }
  }
  void Committed(const HistoryLine& line) {
    const simulation::ShardFacts shard = ShardOf(line);
    if (line.outcome == "fail" && shard.committed && shard.commit_epoch == line.epoch &&
        line.note.starts_with("ABORTED")) {
      Say("T1.3", "a commit that was made was refused when it came again: " + Name(line) + ": " + line.note);
    }
    if (line.outcome != "ok") return;
    MustBeLogged(line, CommitOf(line), "a commit");
    const std::string kept = shard.files.empty() ? "" : shard.files.front().sha256;
    if (shard.committed && !line.digest.empty() && kept != line.digest) {
      Say("P1", "a commit was acknowledged, and other labels are kept: " + Name(line) + " brought=" + line.digest +
                    " kept=" + kept);
    }
  }
  /// A lease is no longer held once its holder says what became of it, or is told that it is lost.
  void NoteHeld(const HistoryLine& line) {
    const auto lease = std::tuple(line.run, line.job, line.shard, line.epoch);
    const bool ends = line.what == "commit" || line.what == "return" || line.what == "fail_shard";
    if (line.what == "lease") held_[line.who].insert(lease);
    if (ends || (line.what == "renew" && line.outcome == "fail")) held_[line.who].erase(lease);
  }
  void Left(const HistoryLine& line) {
    for (const auto& [run, job, shard, epoch] : held_[line.note]) {
      Say("P13", "a labeler left when told to, and kept a lease: " + line.note + " " + run + "/" + job +
                     " shard=" + std::to_string(shard) + " epoch=" + std::to_string(epoch));
    }
  }
  void Returned(const HistoryLine& line) {
    const auto release = log_.releases.find({line.run, line.job, line.shard, line.epoch});
    if (release != log_.releases.end() && release->second == coordinator::ReleaseReason::kReturned) return;
    Say("P13", "a lease was handed back, acknowledged, and the log does not say so: " + Name(line));
  }
  void TokenTaken(const HistoryLine& line) {
    const auto [holder, fresh] = tokens_.emplace(Attempt(line.run, line.job, line.attempt), line.who);
    if (!fresh && holder->second != line.who) {
      Say("P5", "two processes were given one run token: " + ToText(line) + " and=" + holder->second);
    }
    const auto logged = log_.token_pids.find({line.run, line.job, line.attempt});
    if (logged == log_.token_pids.end()) return Say("P2", "a token was given and is not in the log: " + ToText(line));
    if (!line.who.ends_with("/" + std::to_string(logged->second))) {
      Say("P5",
          "the log has another holder of a run token: " + ToText(line) + " pid=" + std::to_string(logged->second));
    }
  }
  void Completed(const HistoryLine& line) {
    const auto result = log_.results.find({line.run, line.job, line.attempt});
    if (result == log_.results.end()) {
      return Say("P2", "a result was acknowledged and is not in the log: " + ToText(line));
    }
    if (result->second != line.digest) Say("P2", "the log has another result: " + ToText(line));
  }
  void Submitted(const HistoryLine& line) {
    const auto logged = log_.submissions.find(line.run);
    if (logged == log_.submissions.end() || log_.Run(line.run).run_dir != line.digest) {
      return Say("P2", "a submission was acknowledged and is not in the log: " + ToText(line));
    }
    // Each acknowledged submission of a run that had ended otherwise than well opens it again.
    const auto count = ++submissions_[line.run];
    if (logged->second.size() < count) {
      Say("P2", "a run was submitted again, acknowledged, and never opened: " + ToText(line));
    } else {
      MustBeLogged(line, logged->second[count - 1], "a submission");
    }
  }
  void Cancelled(const HistoryLine& line) {
    if (line.outcome != "ok") return;
    const auto logged = log_.cancels.find(line.run);
    const auto count = ++cancels_[line.run];
    const bool there = logged != log_.cancels.end() && logged->second.size() >= count;
    MustBeLogged(line, there ? std::optional(logged->second[count - 1]) : std::nullopt, "a cancel");
  }

  const Evidence& evidence_;
  const LogFacts& log_;
  std::vector<Breach>& breaches_;
  std::map<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>, std::string> holders_;
  std::map<Shard, std::uint64_t> highest_seen_;
  std::map<std::tuple<std::string, std::string, std::string, std::uint64_t, std::uint64_t>, std::uint64_t> renewals_;
  /// By process: what it was granted and has said nothing of since.
  std::map<std::string, std::set<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>>> held_;
  std::map<Attempt, std::string> tokens_;
  std::map<std::string, std::size_t> submissions_;
  std::map<std::string, std::size_t> cancels_;
};

}  // namespace

void JudgeHistory(const Evidence& evidence, const LogFacts& log, std::vector<Breach>& breaches) {
  HistoryJudge judge(evidence, log, breaches);
  for (const HistoryLine& line : evidence.history) judge.Take(line);
  judge.CheckStates();
}

std::vector<Breach> Judge(const Evidence& evidence) {
  std::vector<Breach> breaches;
  LogFacts log = JudgeLog(evidence.rows, breaches);
  JudgeHistory(evidence, log, breaches);
  std::erase_if(log.runs, [&](const auto& run) { return evidence.removed.contains(run.first); });
  JudgeFolders(log, breaches);
  return breaches;
}

}  // namespace ferment::chaos
