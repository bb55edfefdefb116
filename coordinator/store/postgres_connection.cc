// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ferment::coordinator {
namespace {

/// On each session. Commits wait for the disk whatever the server's default is; what hangs is ended by the server, so
/// that a stopped process holds no row for long.
constexpr const char* kSetUp =
    "SET synchronous_commit = on; SET statement_timeout = '8s'; SET lock_timeout = '4s'; "
    "SET idle_in_transaction_session_timeout = '4s'; SET client_min_messages = warning; "
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3";

std::string Trimmed(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// The server is not there now and may be later: connection lost, shut down, starting, slow, or a replica still.
bool MayPass(const std::string& sql_state) {
  static constexpr std::array kStates = {"57P01", "57P02", "57P03", "57P05", "57014", "55P03",
                                         "25P03", "40001", "40P01", "53300", "25006"};
  return sql_state.empty() || sql_state.starts_with("08") ||
         std::find(kStates.begin(), kStates.end(), sql_state) != kStates.end();
}

}  // namespace

PostgresRows::PostgresRows(pg_result* result) : result_(result) {}
void PostgresRows::Clear::operator()(pg_result* result) const { PQclear(result); }
int PostgresRows::size() const { return PQntuples(result_.get()); }
std::int64_t PostgresRows::touched() const { return std::atoll(PQcmdTuples(result_.get())); }
std::string PostgresRows::Text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
std::int64_t PostgresRows::Integer(int row, int column) const {
  return std::atoll(PQgetvalue(result_.get(), row, column));
}
std::string_view PostgresRows::Bytes(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

void PostgresConnection::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

Result<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(const std::string& address,
                                                                     std::chrono::milliseconds answer_limit) {
  const std::array<const char*, 6> names = {"dbname",           "connect_timeout", "application_name",
                                            "tcp_user_timeout", "keepalives_idle", nullptr};
  const std::array<const char*, 6> values = {address.c_str(), "4", "ferment-coordinator", "8000", "3", nullptr};
  Handle handle(PQconnectdbParams(names.data(), values.data(), 1));
  if (handle == nullptr) return Fail(InternalError("no memory for a session with PostgreSQL"));
  const auto known = [](const char* text) { return std::string(text == nullptr ? "" : text); };
  const std::string where = "host=" + known(PQhost(handle.get())) + " port=" + known(PQport(handle.get())) +
                            " database=" + known(PQdb(handle.get())) + " user=" + known(PQuser(handle.get()));
  if (PQstatus(handle.get()) != CONNECTION_OK) {
    const std::string message = Trimmed(PQerrorMessage(handle.get()));
    // libpq has no code for this; the words are the server's in English, and a wrong guess only costs patience.
    for (const char* refused :
         {"authentication failed", "no pg_hba.conf entry", "no password supplied", "does not exist"}) {
      if (message.find("FATAL") == std::string::npos || message.find(refused) == std::string::npos) continue;
      return Fail(PermissionDeniedError("PostgreSQL refuses the coordinator; check user, database and PGPASSFILE: " +
                                        message + ": " + where)
                      .WithExitCode(exit_code::kNotAllowed));
    }
    return Fail(UnavailableError("PostgreSQL does not answer; is it running and reachable? " + message + ": " + where)
                    .WithExitCode(exit_code::kMissingService));
  }
  std::unique_ptr<PostgresConnection> connection(new PostgresConnection(std::move(handle), where, answer_limit));
  if (auto set_up = connection->Query(kSetUp); !set_up) return Fail(set_up.error());
  return connection;
}

bool PostgresConnection::AwaitAnswer(Deadline deadline) {
  while (PQisBusy(handle_.get()) != 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd wanted{PQsocket(handle_.get()), POLLIN, 0};
    poll(&wanted, 1, static_cast<int>(left));
    if (PQconsumeInput(handle_.get()) == 0) return false;
  }
  return true;
}

Result<PostgresRows> PostgresConnection::Query(const std::string& sql, std::span<const std::string> parameters,
                                               bool binary) {
  return Ask(sql, parameters, binary, answer_limit_);
}

Result<PostgresRows> PostgresConnection::QueryFor(std::chrono::milliseconds limit, const std::string& sql) {
  if (auto granted = Query("SET LOCAL statement_timeout = " + std::to_string(limit.count())); !granted) return granted;
  return Ask(sql, {}, false, limit);
}

Status PostgresConnection::Transact(const std::function<Status()>& act) {
  if (const auto begun = Query("BEGIN"); !begun) return begun.error();
  Status status = act();
  if (status.ok()) {
    if (const auto committed = Query("COMMIT"); !committed) status = committed.error();
  }
  if (!status.ok()) (void)Query("ROLLBACK");
  return status;
}

Result<PostgresRows> PostgresConnection::Ask(const std::string& sql, std::span<const std::string> parameters,
                                             bool binary, std::chrono::milliseconds limit) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  const auto deadline = std::chrono::steady_clock::now() + limit;
  // Several statements at once go only without parameters.
  const int sent = parameters.empty() && !binary
                       ? PQsendQuery(handle_.get(), sql.c_str())
                       : PQsendQueryParams(handle_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                           values.data(), nullptr, nullptr, binary ? 1 : 0);
  if (sent == 0) return Fail(Describe("", Trimmed(PQerrorMessage(handle_.get()))));
  Result<PostgresRows> answer = Fail(Describe("", "no answer"));
  while (true) {
    if (!AwaitAnswer(deadline)) {
      const std::string why = Trimmed(PQerrorMessage(handle_.get()));
      return Fail(Describe("", why.empty() ? "no answer in time" : why));
    }
    pg_result* raw = PQgetResult(handle_.get());
    if (raw == nullptr) return answer;
    PostgresRows rows(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      answer = std::move(rows);
      continue;
    }
    const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
    answer = Fail(Describe(state == nullptr ? "" : state, Trimmed(PQresultErrorMessage(raw))));
  }
}

Status PostgresConnection::Describe(const std::string& sql_state, const std::string& message) const {
  const std::string what = message + ": sqlstate=" + (sql_state.empty() ? "none" : sql_state) + " " + where_;
  if (MayPass(sql_state)) {
    return UnavailableError("PostgreSQL is lost: " + what).WithExitCode(exit_code::kMissingService);
  }
  if (sql_state == "23505") return AlreadyExistsError(what);
  if (sql_state.starts_with("53") || sql_state.starts_with("58")) {
    return InternalError("PostgreSQL cannot write; free space or check its disk, then start again: " + what)
        .WithExitCode(exit_code::kStorageFailed);
  }
  if (sql_state == "42501") {
    return PermissionDeniedError(
               "the database's user may not do this; grant it CREATE on its schema, and let it own "
               "the tables: " +
               what)
        .WithExitCode(exit_code::kNotAllowed);
  }
  if (sql_state == "42P01" || sql_state == "42703") {
    return FailedPreconditionError("the tables are not those of this ferment; has a newer one migrated them? " + what)
        .WithExitCode(exit_code::kUnreadableState);
  }
  return InternalError(what);
}

}  // namespace ferment::coordinator
