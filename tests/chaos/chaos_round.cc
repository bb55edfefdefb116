// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_round.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <thread>

#include "common/base/check.h"
#include "common/base/json.h"
#include "common/base/random.h"
#include "common/dataset/labels/label_index.h"
#include "tests/chaos/chaos_cluster.h"
#include "tests/chaos/chaos_people.h"
#include "tests/chaos/label_reference.h"
#include "tests/chaos/nemesis.h"
#include "tests/chaos/process_marks.h"
#include "tests/chaos/soak.h"
#include "tests/chaos/storm_spec.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{5};
/// From the last fault on. A trainer that died unseen is waited for half a minute before its job starts again.
constexpr std::chrono::minutes kUntilAllHasEnded{5};
/// Four labelers then commit up to eight shards a second, and leave a small machine idle enough to be in time.
constexpr std::chrono::milliseconds kSoakWork{400};
/// So few that most are forgotten once their ten minutes are over.
constexpr int kSoakRuns = 20;

ClusterOptions ClusterOf(const RoundPlan& plan, const RoundSurroundings& around) {
  const bool storm = plan.kind == RoundKind::kLeaseStorm;
  const bool soak = plan.kind == RoundKind::kSoak;
  return {.folder = around.folder,
          .store = plan.postgres ? StoreAddress{{}, around.database} : StoreAddress{around.folder / "ferment.db", {}},
          .labelers = plan.labelers,
          .real_programs = plan.kind == RoundKind::kWholeRun,
          .clocks = plan.clocks,
          .lease = std::chrono::seconds(storm ? 1 : 3),
          .work = soak ? kSoakWork : std::chrono::milliseconds(20),
          .sleep_one_in = 60 * plan.rarity,
          .keep_rows = soak,
          .keep_runs = soak ? kSoakRuns : 500,
          .seed = plan.seed};
}

NemesisOptions NemesisOf(const RoundPlan& plan, const RoundSurroundings& around) {
  const bool soak = plan.kind == RoundKind::kSoak;
  const int kills = plan.kind == RoundKind::kWholeRun ? 3 : 2;
  return {.pause = plan.rarity * std::chrono::milliseconds(plan.kind == RoundKind::kWholeRun ? 2'500 : 600),
          .least_life = soak ? plan.faults / 4 : std::chrono::seconds(0),
          .trainer_kills = soak ? std::numeric_limits<int>::max() : kills,
          .store_crashes = !plan.postgres ? 0
                           : soak         ? std::numeric_limits<int>::max()
                                          : 1,
          .crash_store = around.crash_database,
          .mark = around.mark};
}

class Round {
 public:
  Round(const RoundPlan& plan, const RoundSurroundings& around)
      : plan_(plan), around_(around), cluster_(ClusterOf(plan, around)), nemesis_(cluster_, NemesisOf(plan, around)) {}

  RoundOutcome Run() {
    const auto begin = steady_clock::now();
    Invite();
    const auto faults_end = begin + plan_.faults;
    while ((soak_ || !Done()) && steady_clock::now() < faults_end) {
      if (soak_) soak_->Invite();
      Tick();
      if (!plan_.calm) nemesis_.Step(steady_clock::now());
    }
    nemesis_.Heal();
    const auto healed = steady_clock::now();
    const auto deadline = healed + kUntilAllHasEnded;
    while (!Done() && steady_clock::now() < deadline) Tick();
    const auto quiet = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - healed);
    CheckEnds();
    cluster_.Leave();
    CheckNobodyIsLeft();
    cluster_.LookAtStore();
    RoundOutcome outcome = Judged();
    outcome.quiet = quiet;
    outcome.took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
    return outcome;
  }

 private:
  void Tick() {
    const auto now = steady_clock::now();
    cluster_.Tick(now);
    for (Person& person : people_) person.Tick(now);
    if (soak_) soak_->Watch(now);
    std::this_thread::sleep_for(kTick);
  }
  bool Done() const {
    return std::all_of(people_.begin(), people_.end(), [](const Person& person) { return person.done(); });
  }

  void Invite() {
    const auto run_dir = [&](const char* name) { return (around_.folder / name).string(); };
    using enum Wish;
    const std::deque<Wish> plain = {kSubmit, kWaitForEnd};
    if (plan_.kind == RoundKind::kWholeRun) {
      people_.emplace_back(cluster_, FERMENT_SOURCE_DIR "/tests/chaos/whole_run.yaml", run_dir("whole"), plain);
      return;
    }
    const std::string spec = WriteStormSpec(around_.folder, plan_.records, cluster_.options().lease).string();
    if (plan_.kind == RoundKind::kSoak) {
      soak_.emplace(cluster_, people_, spec);
      return;
    }
    people_.emplace_back(cluster_, spec, run_dir("plain"), plain);
    people_.emplace_back(cluster_, spec, run_dir("reopened"),
                         std::deque<Wish>{kSubmit, kWaitForCommits, kCancel, kWaitForEnd, kSubmit, kCancel, kWaitForEnd,
                                          kSubmit, kWaitForEnd});
    people_.emplace_back(cluster_, spec, run_dir("cancelled"),
                         std::deque<Wish>{kSubmit, kWaitForCommits, kCancel, kWaitForEnd});
  }

  /// Once faults have ended, everything ends; and a run that nobody cancelled succeeds, or its job was broken too
  /// often.
  void CheckEnds() {
    for (const Person& person : people_) {
      if (!person.done()) {
        cluster_.breaches().push_back({"live", "nothing is broken any more, and a run has not ended: run=" +
                                                   person.run_id() + " state=" + person.state()});
      }
      if (person.state() == "failed" && person.failure().find("started 4 times") == std::string::npos) {
        cluster_.breaches().push_back({"cause", "a run failed: " + person.run_id() + ": " + person.failure()});
      }
    }
  }

  /// With all runs ended and all programs gone, no trainer and no mpirun of theirs is there any more.
  void CheckNobodyIsLeft() {
    const auto deadline = steady_clock::now() + std::chrono::seconds(60);
    std::size_t left = 1;
    while (left > 0 && steady_clock::now() < deadline) {
      left = MarkedProcesses(around_.mark).size();
      if (left > 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    if (left > 0) cluster_.breaches().push_back({"P5", "processes are left: " + std::to_string(left)});
  }

  RoundOutcome Judged() {
    Evidence evidence{.history = {}, .rows = cluster_.rows(), .marks = cluster_.marks(), .states = {}};
    RoundOutcome outcome{.breaches = cluster_.breaches(), .faults = nemesis_.faults(), .digests = {}};
    for (const Person& person : people_) {
      if (!person.run_id().empty()) evidence.states[person.run_id()] = person.state();
    }
    auto history = ReadHistory(cluster_.history_folder());
    if (!history) {
      outcome.breaches.push_back({"history", history.error().ToString()});
      return outcome;
    }
    evidence.history = std::move(*history);
    if (soak_) evidence.removed = soak_->removed();
    if (soak_) outcome.held = soak_->Judge(outcome.breaches);
    if (plan_.kind == RoundKind::kWholeRun) AddWhatLabelersLogged(evidence);
    const auto found = Judge(evidence);
    outcome.breaches.insert(outcome.breaches.end(), found.begin(), found.end());
    if (plan_.kind != RoundKind::kWholeRun) {
      CompareWithUndisturbedLabels(evidence.rows, around_.folder / "undisturbed", outcome.breaches);
    }
    Count(evidence, outcome);
    CheckAuditLogs(outcome);
    return outcome;
  }

  /// Sealed without a gap although their writers were killed, and with each commit that was acknowledged.
  void CheckAuditLogs(RoundOutcome& outcome) const {
    int commits = 0;
    for (int i = 0; i < ChaosCluster::kCoordinators; ++i) {
      const fs::path file = cluster_.AuditFile(i);
      if (!fs::exists(file)) continue;
      auto verified = event::ChildProcess::Start(
          {.argv = {(ProgramsFolder() / "ferment").string(), "audit", "verify", file.string()},
           .output = around_.folder / "verified.txt"});
      if (!verified || verified->WaitFor(std::chrono::minutes(1)) != 0) {
        outcome.breaches.push_back({"audit", "a log is broken: see verified.txt: file=" + file.string()});
      }
      std::ifstream log(file);
      for (std::string line; std::getline(log, line);) {
        const bool commit = line.find("LeaseService/CommitShard") != std::string::npos;
        commits += commit && line.find(R"("result":"OK")") != std::string::npos ? 1 : 0;
      }
    }
    if (commits >= outcome.commits_acknowledged) return;
    outcome.breaches.push_back({"audit", "commits were acknowledged and are in no audit log: acknowledged=" +
                                             std::to_string(outcome.commits_acknowledged) +
                                             " logged=" + std::to_string(commits)});
  }

  /// The real labeler keeps no history, but its log has a line for each commit that was acknowledged.
  void AddWhatLabelersLogged(Evidence& evidence) {
    for (int i = 0; i < plan_.labelers; ++i) {
      std::ifstream log(around_.folder / ("labeler-" + std::to_string(i) + ".txt"));
      for (std::string text; std::getline(log, text);) {
        const auto json = ParseJson(text);
        if (!json || !json->is_object() || json->value("msg", "") != "shard_committed") continue;
        HistoryLine line{.at = evidence.history.back().at, .what = "commit", .outcome = "ok"};
        line.run = people_.front().run_id();
        line.job = json->value("job", "");
        line.shard = std::stoull(json->value("shard", "0"));
        line.epoch = 1;
        evidence.history.push_back(std::move(line));
      }
    }
  }

  void Count(const Evidence& evidence, RoundOutcome& outcome) {
    for (const HistoryLine& line : evidence.history) {
      if (line.what == "lease") ++outcome.leases;
      if (line.what == "commit" && line.outcome == "ok") ++outcome.commits_acknowledged;
      if (line.what == "commit" && line.outcome == "fail") ++outcome.commits_refused;
      if (line.outcome == "exit") ++outcome.restarts;
    }
    for (const StoredRow& row : evidence.rows) outcome.terms = std::max(outcome.terms, row.term);
    std::vector<Breach> told_already;
    const LogFacts facts = JudgeLog(evidence.rows, told_already);
    for (const auto& [attempt, digest] : facts.results) outcome.digests[std::get<1>(attempt)] = digest;
    for (const auto& [run_id, run] : facts.runs) {
      for (const auto& [job_id, job] : run.jobs) {
        if (!job.label) continue;
        if (const auto index = dataset::ReadLabelIndex(job.index_folder)) {
          outcome.digests[job_id] = dataset::LabelIndexDigest(*index);
        }
      }
    }
  }

  const RoundPlan plan_;
  const RoundSurroundings around_;
  ChaosCluster cluster_;
  Nemesis nemesis_;
  std::deque<Person> people_;
  std::optional<Soak> soak_;
};

}  // namespace

RoundPlan PlanOf(std::uint64_t seed) {
  RoundPlan plan{.seed = seed};
  plan.kind = seed % 6 == 0 ? RoundKind::kWholeRun : RoundKind::kLeaseStorm;
  plan.postgres = seed % 2 == 1 || seed % 12 == 0;
  plan.clocks = seed % 3 != 0;
  plan.labelers = plan.kind == RoundKind::kWholeRun ? 4 : 4 + static_cast<int>(RandomBits(seed, 0, 0) % 5);
  if (plan.kind == RoundKind::kWholeRun) plan.faults = std::chrono::seconds(60);
  return plan;
}

RoundPlan SoakOf(std::uint64_t seed) {
  RoundPlan plan = PlanOf(seed);
  plan.kind = RoundKind::kSoak;
  plan.postgres = seed % 2 == 1;
  plan.labelers = 4;
  plan.records = 160;
  plan.faults = std::chrono::hours(1);
  plan.rarity = 20;
  return plan;
}

std::string NameOf(RoundKind kind) {
  switch (kind) {
    case RoundKind::kLeaseStorm:
      return "storm";
    case RoundKind::kWholeRun:
      return "whole";
    case RoundKind::kSoak:
      return "soak";
  }
  return "";
}

std::string FlagsOf(const RoundPlan& plan) {
  return "--first " + std::to_string(plan.seed) + " --count 1 --kind " + NameOf(plan.kind) + " --store " +
         (plan.postgres ? "postgres" : "sqlite") + " --records " + std::to_string(plan.records) + " --seconds " +
         std::to_string(plan.faults.count()) + " --rarity " + std::to_string(plan.rarity) +
         (plan.clocks ? "" : " --steady");
}

RoundOutcome RunRound(const RoundPlan& plan, const RoundSurroundings& surroundings) {
  return Round(plan, surroundings).Run();
}

}  // namespace ferment::chaos
