// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_lead.h"

#include <vector>

#include "common/base/logging.h"
#include "coordinator/store/postgres_schema.h"

namespace ferment::coordinator {
namespace {

/// What ferment_leader and ferment_schema said at one instant.
struct Former {
  std::uint64_t term;
  std::string leader;
  std::string backend;
  std::string heard;
  std::int64_t version;
};

Result<bool> TryLock(PostgresConnection& connection, std::uint64_t term) {
  FERMENT_ASSIGN_OR_RETURN(const PostgresRows lock,
                           connection.Query("SELECT pg_try_advisory_lock" + AdvisoryLock(term)));
  return lock.Text(0, 0) == "t";
}

Status Unlock(PostgresConnection& connection, std::uint64_t term) {
  return StatusOf(connection.Query("SELECT pg_advisory_unlock" + AdvisoryLock(term)));
}

Result<Former> ReadFormer(PostgresConnection& connection) {
  FERMENT_ASSIGN_OR_RETURN(const PostgresRows row,
                           connection.Query("SELECT term, holder, backend, concat(term, ' ', renewed), "
                                            "(SELECT version FROM ferment_schema) FROM ferment_leader"));
  if (row.size() != 1) return Fail(NotWhole(connection, "its row in ferment_leader"));
  if (row.Integer(0, 4) <= 0) return Fail(NotWhole(connection, "its version in ferment_schema"));
  return Former{static_cast<std::uint64_t>(row.Integer(0, 0)), row.Text(0, 1), row.Text(0, 2), row.Text(0, 3),
                row.Integer(0, 4)};
}

/// Returns: whether the leader was not heard for so long.
bool Silent(const Former& former, std::chrono::milliseconds silence, LeaderHeard& heard) {
  const auto now = std::chrono::steady_clock::now();
  if (heard.last != former.heard) heard = {former.heard, now};
  return now - heard.since >= silence;
}

/// It may be stopped within a transaction that holds the row.
void EndSessionOf(PostgresConnection& connection, const Former& former) {
  LogWarning("leader.silent", {{"leader", former.leader}, {"term", former.term}, {"next", "its session is ended"}});
  const auto ended = connection.Query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = "
      "'ferment-coordinator' AND pid <> pg_backend_pid()",
      std::vector{former.backend});
  if (!ended) LogWarning("leader.session_stays", {{"error", ended.error().message()}});
}

/// Within a transaction: the term and the tables change together. Returns: false where another was faster.
Result<bool> RaiseTerm(PostgresConnection& connection, const PostgresStoreOptions& options, const Former& former) {
  const bool migrates = former.version < static_cast<std::int64_t>(options.schema.size());
  // Who appends has locks on both tables when he waits for the leader's row: he is let through before we have it.
  if (migrates) FERMENT_RETURN_IF_ERROR(StatusOf(connection.Query("LOCK TABLE ferment_leader IN EXCLUSIVE MODE")));
  FERMENT_ASSIGN_OR_RETURN(
      const PostgresRows row,
      connection.Query("UPDATE ferment_leader SET term = term + 1, holder = $1, backend = pg_backend_pid(), "
                       "renewed = clock_timestamp() WHERE term = $2",
                       std::vector{options.holder, std::to_string(former.term)}));
  if (row.touched() != 1) return false;
  if (!migrates) return true;
  FERMENT_RETURN_IF_ERROR(MigratePostgresTables(connection, options.schema, former.version));
  // The steps may have taken longer than a leader may be silent.
  FERMENT_RETURN_IF_ERROR(StatusOf(connection.Query("UPDATE ferment_leader SET renewed = clock_timestamp()")));
  return true;
}

/// Returns: the term that has begun; 0 where another is faster.
Result<std::uint64_t> TakeLead(PostgresConnection& connection, const PostgresStoreOptions& options,
                               const Former& former, bool dead) {
  // The lock of a term is held before the term is seen by anybody; for long, where whoever has it migrates.
  const std::uint64_t next = former.term + 1;
  FERMENT_ASSIGN_OR_RETURN(const bool ours, TryLock(connection, next));
  if (!ours) return std::uint64_t{0};
  if (!dead) EndSessionOf(connection, former);
  bool raised = false;
  FERMENT_RETURN_IF_ERROR(connection.Transact([&]() -> Status {
    FERMENT_ASSIGN_OR_RETURN(raised, RaiseTerm(connection, options, former));
    return {};
  }));
  if (raised) return next;
  FERMENT_RETURN_IF_ERROR(Unlock(connection, next));
  return std::uint64_t{0};
}

}  // namespace

Result<LeadTry> TryToLead(PostgresConnection& connection, const PostgresStoreOptions& options, LeaderHeard& heard) {
  FERMENT_ASSIGN_OR_RETURN(const Former former, ReadFormer(connection));
  // A newer version may have led while this one stood by.
  FERMENT_RETURN_IF_ERROR(CheckVersion(options.schema, former.version, connection.where()));
  const bool silent = Silent(former, options.silence, heard);
  FERMENT_ASSIGN_OR_RETURN(const bool dead, TryLock(connection, former.term));
  if (!dead && !silent) return LeadTry{0, former.leader};
  const auto term = TakeLead(connection, options, former, dead);
  if (dead) FERMENT_RETURN_IF_ERROR(Unlock(connection, former.term));
  if (!term) return Fail(term.error());
  return LeadTry{*term, former.leader};
}

Status HoldTerm(PostgresConnection& connection, std::uint64_t term) {
  const auto held = TryLock(connection, term);
  return held ? Status() : held.error();
}

}  // namespace ferment::coordinator
