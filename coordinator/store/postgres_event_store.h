// SPDX-License-Identifier: Apache-2.0
//
// The log in a PostgreSQL database that several coordinators share: one leads, the others stand by.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "coordinator/store/event_store.h"
#include "coordinator/store/postgres_schema.h"
#include "coordinator/store/store_watch.h"

namespace ferment::coordinator {

struct PostgresStoreOptions {
  /// postgresql://[USER@]HOST[:PORT]/DATABASE[?OPTIONS], without a password.
  std::string address;
  /// Shown to who asks who leads.
  std::string holder;
  /// A leader that was not heard for so long, by the clock of who stands by, has lost the lead. A pause of the leader,
  /// its machine or the database that is longer costs a change of leader and nothing else.
  std::chrono::milliseconds silence{8'000};
  /// From one look at the leader to the next; how late a death is seen.
  std::chrono::milliseconds look_every{500};
  /// How long a leader that appends nothing goes without being written down as heard; far below `silence`.
  std::chrono::milliseconds renew_every{1'000};
  /// Longer than any statement of ours takes on a server that works: the session is given up, and another made.
  std::chrono::milliseconds answer_limit{10'000};
  /// A server that is away for longer ends the coordinator with 69.
  std::chrono::milliseconds patience{60'000};
  /// What this program knows of tables; another list is for tests.
  SchemaSteps schema = PostgresSteps();
  /// Ends the standing by.
  std::stop_token stop = {};
  /// Called once with the leader's name when another leads.
  std::function<void(const std::string& leader)> stands_by = nullptr;
  /// Called after a session was lost and another made. Thread: whichever called the store.
  std::function<void()> reconnected = nullptr;
  /// Told when the server is asked and heard; outlives the store.
  StoreWatch* watch = nullptr;
};

/// Waits until this coordinator leads: no session holds the present term's advisory lock (the leader died), or the
/// leader was silent for too long (it is stopped, or cut off). Safety does not rest on either: each append locks the
/// leader's row and compares its term in the same transaction.
/// Tables of a former version are migrated in the transaction that raises the term, so a leader has them as it knows
/// them for as long as it leads.
/// Errors: Cancelled: asked to stop. FailedPrecondition with exit code 78: a newer version's tables, or such a leader
/// has come while this one stood by. Unavailable with 69: no server for the whole patience. PermissionDenied with 77.
/// Internal with 204: the server's disk. What a step fails with; the tables are then as they were.
Result<std::unique_ptr<EventStore>> OpenPostgresEventStore(PostgresStoreOptions options);

}  // namespace ferment::coordinator
