// SPDX-License-Identifier: Apache-2.0
//
// Judges a round of real processes by what was promised: what clients were told, the log, and the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "tests/chaos/chaos_history.h"
#include "tests/chaos/chaos_store.h"
#include "tests/simulation/sim_log_rules.h"

namespace ferment::chaos {

struct Breach {
  /// "P1" ... as docs/robustness.md lists them.
  std::string promise;
  std::string what;
};

struct Evidence {
  std::vector<HistoryLine> history;
  std::vector<StoredRow> rows;
  /// By time.
  std::vector<StoreMark> marks;
  /// What a client was told last of each run: running, succeeded, failed or cancelled.
  std::map<std::string, std::string> states;
  /// Runs whose folders were judged before and are gone.
  std::set<std::string> removed = {};
};

/// The log as SimLogRules understood it, and where each shard and cancel stands in it.
struct LogFacts {
  simulation::RunFacts Run(const std::string& run_id) const;

  std::map<std::string, simulation::RunFacts> runs;
  /// By run, job and shard: sequence of the commit.
  std::map<std::tuple<std::string, std::string, std::uint64_t>, std::int64_t> commits;
  /// By run, job, shard and epoch: sequence of the lease.
  std::map<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>, std::int64_t> leases;
  /// Likewise: why the lease ended without a result.
  std::map<std::tuple<std::string, std::string, std::uint64_t, std::uint64_t>, coordinator::ReleaseReason> releases;
  /// By run: sequences.
  std::map<std::string, std::vector<std::int64_t>> submissions, cancels, ends;
  /// By run, job and attempt: the process that took the token, and the digest of the first model that it brought.
  std::map<std::tuple<std::string, std::string, std::uint32_t>, std::int64_t> token_pids;
  std::map<std::tuple<std::string, std::string, std::uint32_t>, std::string> results;
};

/// The rules of the log alone (P1 P2 P3 P5 P7 T1.5), terms among them; snapshots are left out. Returns: what it says;
/// adds what is wrong.
LogFacts JudgeLog(const std::vector<StoredRow>& rows, std::vector<Breach>& breaches);

/// What clients were told against the log: nothing acknowledged is lost (P2), one holder a lease and a token (P3 P5),
/// no late renewal (T1.6), a commit that was made is not refused (T1.3), and whoever left when told to handed back what
/// it held (P13).
void JudgeHistory(const Evidence& evidence, const LogFacts& log, std::vector<Breach>& breaches);

/// The label sets of each label job: those that the index names are those of the log, whole, each record once (P1 P7).
void JudgeFolders(const LogFacts& log, std::vector<Breach>& breaches);

/// All three. Returns: every breach, empty where there is none.
std::vector<Breach> Judge(const Evidence& evidence);

/// A snapshot says what the events before it came to (P2): the rows that a coordinator would read now make the book
/// that all events make that ever were.
void JudgeSnapshot(const KeptStore& store, std::vector<Breach>& breaches);

/// Adds to `known` what a later look at the store found. Breach of P2 where a row is gone or has changed.
void MergeRows(std::vector<StoredRow> found, std::vector<StoredRow>& known, std::vector<Breach>& breaches);

}  // namespace ferment::chaos
