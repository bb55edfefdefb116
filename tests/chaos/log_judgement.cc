// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>

#include "coordinator/core/job_book.h"
#include "coordinator/store/event_codec.h"
#include "tests/chaos/chaos_oracle.h"
#include "tests/simulation/sim_queue.h"

namespace ferment::chaos {
namespace {

using namespace coordinator;  // NOLINT(google-build-using-namespace): events by their names

/// Notes where things stand; what is allowed is for SimLogRules.
class FactKeeper {
 public:
  FactKeeper(std::int64_t sequence, LogFacts& facts) : sequence_(sequence), facts_(facts) {}

  void operator()(const RunSubmitted& event) { facts_.submissions[event.run_id].push_back(sequence_); }
  void operator()(const RunReopened& event) { facts_.submissions[event.run_id].push_back(sequence_); }
  void operator()(const RunCancelRequested& event) { facts_.cancels[event.run_id].push_back(sequence_); }
  void operator()(const RunEnded& event) { facts_.ends[event.run_id].push_back(sequence_); }
  void operator()(const ShardLeased& event) {
    facts_.leases[{event.key.run_id, event.key.job_id, event.key.shard, event.key.epoch}] = sequence_;
  }
  void operator()(const ShardReleased& event) {
    facts_.releases[{event.key.run_id, event.key.job_id, event.key.shard, event.key.epoch}] = event.reason;
  }
  void operator()(const ShardCommitted& event) {
    facts_.commits[{event.key.run_id, event.key.job_id, event.key.shard}] = sequence_;
  }
  void operator()(const TokenTaken& event) {
    facts_.token_pids[{event.run_id, event.job_id, event.attempt}] = event.pid;
  }
  void operator()(const JobCompleted& event) {
    if (event.models.empty()) return;
    facts_.results[{event.run_id, event.job_id, event.attempt}] = event.models.front().sha256;
  }
  template <typename Other>
  void operator()(const Other&) {}

 private:
  const std::int64_t sequence_;
  LogFacts& facts_;
};

}  // namespace

simulation::RunFacts LogFacts::Run(const std::string& run_id) const {
  const auto found = runs.find(run_id);
  return found == runs.end() ? simulation::RunFacts() : found->second;
}

LogFacts JudgeLog(const std::vector<StoredRow>& rows, std::vector<Breach>& breaches) {
  LogFacts facts;
  const simulation::SimQueue no_time;
  simulation::SimHistory verdict(no_time, /*trace=*/false);
  // How many runs are remembered is a flag of the round's coordinators.
  simulation::SimLogRules rules(verdict, 0);
  std::int64_t former = 0;
  std::uint64_t latest_term = 0;
  for (const StoredRow& row : rows) {
    const auto event = DecodeEvent(row.body);
    if (!event) {
      breaches.push_back(
          {"P2", "row " + std::to_string(row.sequence) + " cannot be read: " + event.error().ToString()});
      continue;
    }
    if (former != 0 && row.sequence != former + 1) {
      breaches.push_back({"P2", "a row is missing: sequence=" + std::to_string(former + 1)});
    }
    former = row.sequence;
    if (OfSnapshot(*event)) continue;
    rules.Take(row.term, latest_term, {&*event, 1});
    latest_term = std::max(latest_term, row.term);
    if (verdict.violation()) {
      breaches.push_back(
          {verdict.violation()->promise, "row " + std::to_string(row.sequence) + ": " + verdict.violation()->what});
      break;  // what follows may follow from it
    }
    std::visit(FactKeeper(row.sequence, facts), *event);
  }
  facts.runs = rules.runs();
  return facts;
}

void JudgeSnapshot(const KeptStore& store, std::vector<Breach>& breaches) {
  JobBook whole;
  JobBook present;
  for (const StoredRow& row : store.all) {
    const auto event = DecodeEvent(row.body);
    if (event && !OfSnapshot(*event)) whole.Apply(*event);
  }
  for (const StoredRow& row : store.present) {
    if (const auto event = DecodeEvent(row.body)) present.Apply(*event);
  }
  if (whole == present) return;
  breaches.push_back({"P2", "the log behind its snapshot makes another book than all events: rows=" +
                                std::to_string(store.all.size()) + " present=" + std::to_string(store.present.size())});
}

void MergeRows(std::vector<StoredRow> found, std::vector<StoredRow>& known, std::vector<Breach>& breaches) {
  const bool kept = found.size() >= known.size() && std::equal(known.begin(), known.end(), found.begin());
  if (!kept) {
    const auto [was, is] = std::mismatch(known.begin(), known.end(), found.begin(), found.end());
    breaches.push_back({"P2", "a row of the log is lost or has changed: sequence=" +
                                  std::to_string(was == known.end() ? 0 : was->sequence) + " rows_before=" +
                                  std::to_string(known.size()) + " rows_now=" + std::to_string(found.size())});
  }
  known = std::move(found);
}

}  // namespace ferment::chaos
