// SPDX-License-Identifier: Apache-2.0
//
// Many events in few statements: how a snapshot takes the place of the log in PostgreSQL.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/result.h"
#include "coordinator/store/event_store.h"
#include "coordinator/store/postgres_connection.h"

namespace ferment::coordinator {

/// bytea[] as text, event by event.
class EventArray {
 public:
  void Add(const Event& event);
  std::int64_t size() const { return size_; }
  std::size_t bytes() const { return text_.size(); }
  std::string Text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
  std::int64_t size_ = 0;
};

/// Within a transaction: deletes the log and writes what `write` gives as rows of `term` behind the row `last`, some
/// MiB a statement; `between` is called after each. It leaves the leader's row alone, so that this can be renewed
/// meanwhile: the term is for the transaction's end to compare. Returns: the last row's number; `last`: nothing was
/// given. Errors: those of `write`, of PostgresConnection::Query.
Result<std::int64_t> WriteSnapshot(PostgresConnection& connection, std::uint64_t term, std::int64_t last,
                                   const std::function<Status(const EventSink&)>& write,
                                   const std::function<void()>& between);

}  // namespace ferment::coordinator
