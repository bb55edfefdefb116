// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "common/base/logging.h"

namespace ferment::coordinator {
namespace {

/// On each session. Commits wait for the disk whatever the server's default is; what hangs is ended by the server, so
/// that a stopped process holds no row for long.
constexpr const char* kSetUp =
    "SET synchronous_commit = on; SET statement_timeout = '8s'; SET lock_timeout = '4s'; "
    "SET idle_in_transaction_session_timeout = '4s'; SET client_min_messages = warning; "
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3";

/// A session's first ones are logged, and of each so many bytes.
constexpr int kNotices = 10;
constexpr std::size_t kNoticeBytes = 500;

std::string Trimmed(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// For libpq; `told`: an int.
void LogNotice(void* told, const char* message) {
  int& count = *static_cast<int*>(told);
  if (++count > kNotices) return;
  LogWarning("store.notice", {{"notice", Trimmed(message).substr(0, kNoticeBytes)},
                              {"next", count < kNotices ? "none" : "further ones of this session are left out"}});
}

/// libpq has no code for why a session did not come about; the words are the server's in English, and a wrong guess
/// only costs patience.
bool SaysOneOf(std::string_view message, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return message.find(word) != message.npos; });
}

/// Why `message`, of a session that did not come about.
Status Refusal(const std::string& message, const std::string& where) {
  const bool from_server = SaysOneOf(message, {"FATAL"});
  if (SaysOneOf(message, {"server does not support SSL"}) ||
      (from_server && SaysOneOf(message, {"unrecognized configuration parameter", "invalid value for parameter",
                                          "cannot be changed"}))) {
    return InvalidArgumentError("PostgreSQL does not have what --store asks for: " + message + ": " + where)
        .WithExitCode(exit_code::kUsage);
  }
  if (from_server && SaysOneOf(message, {"authentication failed", "no pg_hba.conf entry", "no password supplied",
                                         "does not exist", "permission denied", "is not permitted to log in"})) {
    return PermissionDeniedError("PostgreSQL refuses the coordinator; check user, database and PGPASSFILE: " + message +
                                 ": " + where)
        .WithExitCode(exit_code::kNotAllowed);
  }
  return UnavailableError("PostgreSQL does not answer; is it running and reachable? " + message + ": " + where)
      .WithExitCode(exit_code::kMissingService);
}

/// The server is not there now and may be later: connection lost, shut down, starting, or slow.
bool MayPass(const std::string& sql_state) {
  static constexpr std::array kStates = {"57P01", "57P02", "57P03", "57P05", "57014",
                                         "55P03", "25P03", "40001", "40P01", "53300"};
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
                                                                     std::chrono::milliseconds answer_limit,
                                                                     StoreWatch* watch) {
  const std::array<const char*, 6> names = {"dbname",           "connect_timeout", "application_name",
                                            "tcp_user_timeout", "keepalives_idle", nullptr};
  const std::array<const char*, 6> values = {address.c_str(), "4", "ferment-coordinator", "8000", "3", nullptr};
  if (watch != nullptr) watch->Asked();
  auto notices = std::make_unique<int>(0);
  Handle handle(PQconnectStartParams(names.data(), values.data(), 1));
  if (handle == nullptr) return Fail(InternalError("no memory for a session with PostgreSQL"));
  if (PQstatus(handle.get()) != CONNECTION_BAD) {
    // Only a session that has begun can be told where notices go, and some come before it has ended beginning: it
    // begins again. To wait for it ourselves would lose libpq's way to the next of several hosts.
    PQsetNoticeProcessor(handle.get(), LogNotice, notices.get());
    PQreset(handle.get());
  }
  const auto known = [](const char* text) { return std::string(text == nullptr ? "" : text); };
  const std::string where = "host=" + known(PQhost(handle.get())) + " port=" + known(PQport(handle.get())) +
                            " database=" + known(PQdb(handle.get())) + " user=" + known(PQuser(handle.get()));
  if (PQstatus(handle.get()) != CONNECTION_OK) return Fail(Refusal(Trimmed(PQerrorMessage(handle.get())), where));
  std::unique_ptr<PostgresConnection> connection(
      new PostgresConnection(std::move(notices), std::move(handle), where, answer_limit, watch));
  if (auto set_up = connection->Query(kSetUp); !set_up) return Fail(set_up.error());
  if (watch != nullptr) watch->SetPlace(where);
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
  if (watch_ != nullptr) watch_->Asked();
  auto answer = Ask(sql, parameters, binary, answer_limit_);
  if (watch_ != nullptr && (answer || answer.error().code() != StatusCode::kUnavailable)) watch_->Heard();
  return answer;
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
  if (sql_state == "25006") {
    return UnavailableError(
               "PostgreSQL is read-only; is it a standby, or does it have default_transaction_read_only? " + what)
        .WithExitCode(exit_code::kMissingService);
  }
  if (MayPass(sql_state)) {
    return UnavailableError("PostgreSQL is lost: " + what).WithExitCode(exit_code::kMissingService);
  }
  if (sql_state == "23505") return AlreadyExistsError(what);
  if (sql_state.starts_with("53") || sql_state.starts_with("58")) {
    return InternalError("PostgreSQL cannot write; free space or check its disk, then start again: " + what)
        .WithExitCode(exit_code::kStorageFailed);
  }
  if (sql_state == "42501" || sql_state == "3F000") {
    return PermissionDeniedError(
               "the database's user may not do this; grant it USAGE and CREATE on its schema, which search_path must "
               "name, and let it own the tables: " +
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
