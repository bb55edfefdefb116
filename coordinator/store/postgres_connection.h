// SPDX-License-Identifier: Apache-2.0
//
// One session with a PostgreSQL server, in which no call waits for ever.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "coordinator/store/store_watch.h"

struct pg_conn;
struct pg_result;

namespace ferment::coordinator {

/// One answer; rows and columns from 0.
class PostgresRows {
 public:
  explicit PostgresRows(pg_result* result);
  int size() const;
  /// Rows that an INSERT or UPDATE touched.
  std::int64_t touched() const;
  std::string Text(int row, int column) const;
  std::int64_t Integer(int row, int column) const;
  /// Of a query that asked for binary values.
  std::string_view Bytes(int row, int column) const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

/// Where the rows do not matter.
inline Status StatusOf(const Result<PostgresRows>& rows) { return rows ? Status() : rows.error(); }

/// Thread: one at a time.
class PostgresConnection {
 public:
  /// `address` is a postgresql:// URI; what it leaves out comes from the PG* variables of the environment. A statement
  /// that is not answered within `answer_limit` has lost the session. `watch`, if any, outlives the session, which asks
  /// and is heard there, but not of what QueryFor does. What the server says unasked (notices) is logged, at first.
  /// Errors: Unavailable with exit code 69: no server there, or it is starting. PermissionDenied with 77: refused.
  /// InvalidArgument with 2: it does not know or have what the address asks for.
  static Result<std::unique_ptr<PostgresConnection>> Open(const std::string& address,
                                                          std::chrono::milliseconds answer_limit,
                                                          StoreWatch* watch = nullptr);

  /// Errors: Unavailable: the session is lost, or the server was too slow; whether it was done is unknown; or it is
  /// read-only.
  /// AlreadyExists: a key is there. Internal with 204: the server's disk. PermissionDenied with 77. FailedPrecondition
  /// with 78: a table or column is not there. Internal else.
  Result<PostgresRows> Query(const std::string& sql, std::span<const std::string> parameters = {}, bool binary = false);
  /// The same of what may take so long, here and on the server. Requires: a transaction, until whose end the server
  /// grants that.
  Result<PostgresRows> QueryFor(std::chrono::milliseconds limit, const std::string& sql);
  /// Commits what `act` does, or all of it is undone. Errors: those of `act`, of Query.
  Status Transact(const std::function<Status()>& act);
  /// host=H port=P database=D user=U
  const std::string& where() const { return where_; }

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  using Handle = std::unique_ptr<pg_conn, Finish>;
  using Deadline = std::chrono::steady_clock::time_point;
  PostgresConnection(std::unique_ptr<int> notices, Handle handle, std::string where,
                     std::chrono::milliseconds answer_limit, StoreWatch* watch)
      : notices_(std::move(notices)),
        handle_(std::move(handle)),
        where_(std::move(where)),
        answer_limit_(answer_limit),
        watch_(watch) {}
  /// Waits until a whole answer is there. Returns: false past the deadline, or where the session is lost.
  bool AwaitAnswer(Deadline deadline);
  Result<PostgresRows> Ask(const std::string& sql, std::span<const std::string> parameters, bool binary,
                           std::chrono::milliseconds limit);
  Status Describe(const std::string& sql_state, const std::string& message) const;

  /// How many were logged; libpq has its address for as long as the session lasts.
  std::unique_ptr<int> notices_;
  Handle handle_;
  std::string where_;
  std::chrono::milliseconds answer_limit_;
  StoreWatch* watch_;
};

}  // namespace ferment::coordinator
