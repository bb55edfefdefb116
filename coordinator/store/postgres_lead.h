// SPDX-License-Identifier: Apache-2.0
//
// The change of leader on a PostgreSQL store: who may begin the next term, and what is done in one transaction with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "coordinator/store/postgres_connection.h"
#include "coordinator/store/postgres_event_store.h"

namespace ferment::coordinator {

struct LeadTry {
  /// 0: another leads, or takes the lead.
  std::uint64_t term = 0;
  /// Who led before.
  std::string leader;
};

/// What one that stands by has heard of the leader, and since when by its own clock: the database's may be set back,
/// and may leap.
struct LeaderHeard {
  std::string last;
  std::chrono::steady_clock::time_point since;
};

/// Begins the next term where the leader is dead or silent, and migrates the tables in the transaction that raises it.
/// `heard`: empty at the first call, and in each session.
/// Errors: FailedPrecondition with exit code 78: a newer version's tables, or not all of them.
/// PostgresConnection::Query's; the tables and the term are then as they were, or the session was lost when both had
/// been written.
Result<LeadTry> TryToLead(PostgresConnection& connection, const PostgresStoreOptions& options, LeaderHeard& heard);

/// In another session than before: it is the one by whose end others see that the leader of `term` is dead. Whether
/// that still leads is for the next append to find out.
Status HoldTerm(PostgresConnection& connection, std::uint64_t term);

}  // namespace ferment::coordinator
