// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_schema.h"

#include <array>
#include <chrono>
#include <string>
#include <vector>

namespace ferment::coordinator {
namespace {

constexpr std::array<const char*, 1> kSteps = {
    "CREATE TABLE ferment_schema (one int PRIMARY KEY CHECK (one = 1), version int NOT NULL);"
    "CREATE TABLE ferment_leader (one int PRIMARY KEY CHECK (one = 1), term bigint NOT NULL, "
    "holder text NOT NULL, backend int NOT NULL, renewed timestamptz NOT NULL);"
    "CREATE TABLE ferment_event (sequence bigint PRIMARY KEY, term bigint NOT NULL, body bytea NOT NULL);"
    "INSERT INTO ferment_leader VALUES (1, 0, '', 0, 'epoch')"};
/// A step may write every row anew; one that takes longer is taken for lost.
constexpr std::chrono::minutes kStepLimit{10};

/// Returns: 0 where there are no tables.
Result<std::int64_t> VersionOf(PostgresConnection& connection) {
  FERMENT_ASSIGN_OR_RETURN(
      const PostgresRows tables,
      connection.Query("SELECT num_nonnulls(to_regclass('ferment_schema')), "
                       "num_nonnulls(to_regclass('ferment_leader'), to_regclass('ferment_event'))"));
  if (tables.Integer(0, 0) == 1) {
    FERMENT_ASSIGN_OR_RETURN(const PostgresRows schema, connection.Query("SELECT version FROM ferment_schema"));
    if (schema.size() == 1 && schema.Integer(0, 0) > 0) return schema.Integer(0, 0);
  } else if (tables.Integer(0, 1) == 0) {
    return 0;
  }
  return Fail(NotWhole(connection, "its version in ferment_schema"));
}

}  // namespace

SchemaSteps PostgresSteps() { return kSteps; }

Status NotWhole(const PostgresConnection& connection, const std::string& what) {
  return FailedPreconditionError("the database has tables of a store without " + what +
                                 "; restore all of it, or give another --store: " + connection.where())
      .WithExitCode(exit_code::kUnreadableState);
}

Status MakePostgresTables(PostgresConnection& connection, SchemaSteps steps) {
  return connection.Transact([&]() -> Status {
    FERMENT_RETURN_IF_ERROR(StatusOf(connection.Query("SELECT pg_advisory_xact_lock(1718775156, -1)")));
    FERMENT_ASSIGN_OR_RETURN(const std::int64_t version, VersionOf(connection));
    return version == 0 ? MigratePostgresTables(connection, steps, version) : Status();
  });
}

Status MigratePostgresTables(PostgresConnection& connection, SchemaSteps steps, std::int64_t version) {
  FERMENT_RETURN_IF_ERROR(TakeSteps(
      steps, version, [&](const std::string& sql) { return StatusOf(connection.QueryFor(kStepLimit, sql)); }));
  return StatusOf(connection.Query(
      "INSERT INTO ferment_schema VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET version = excluded.version",
      std::vector{std::to_string(steps.size())}));
}

}  // namespace ferment::coordinator
