// SPDX-License-Identifier: Apache-2.0
//
// The tables of a store in PostgreSQL: how they are made, and how those of a former version become this one's.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "coordinator/store/postgres_connection.h"
#include "coordinator/store/schema_steps.h"

namespace ferment::coordinator {

/// Returns: the arguments of a lock on a term. Such locks are a whole database's: "frmt" and the table's oid tell the
/// store, so that each schema has its own.
inline std::string AdvisoryLock(std::uint64_t term) {
  return "(1718775156 # 'ferment_leader'::regclass::oid::int, " + std::to_string(term) + ")";
}

/// This program's. Whatever a later step does, `ferment_schema` stays, and so do the columns that the first one gives
/// `ferment_leader`: by these a coordinator of a former version that stands by sees that it cannot lead.
SchemaSteps PostgresSteps();

/// Of tables from which `what` is gone, a row that each store has. FailedPrecondition with exit code 78.
Status NotWhole(const PostgresConnection& connection, const std::string& what);

/// Makes the tables of a database that has none, in a transaction of their own: nobody leads there. Tables of another
/// version are left to those who work with them. Two at once do it one after the other.
/// Errors: FailedPrecondition with exit code 78: tables without a version.
Status MakePostgresTables(PostgresConnection& connection, SchemaSteps steps);

/// Makes of the tables of `version` those of the last one, within the transaction of a new term: the version changes
/// with the term alone, so who compares the term has compared the version. Requires: CheckVersion; nobody appends.
Status MigratePostgresTables(PostgresConnection& connection, SchemaSteps steps, std::int64_t version);

}  // namespace ferment::coordinator
