// SPDX-License-Identifier: Apache-2.0
//
// Stands between a test program and libpq: the session in which the n-th statement is sent is lost then.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace ferment::testing {

/// Counts the statements of PostgresConnection, of every thread of this program, while it lives. libpq's calls
/// themselves are replaced by session_faults.cc, which the test program must link as a source.
class SessionFaults {
 public:
  enum class Kind {
    /// The server never sees the statement.
    kLostBefore,
    /// The server has done it, and its answer is lost.
    kLostAfter,
  };

  SessionFaults(Kind kind, int at);
  ~SessionFaults();
  SessionFaults(const SessionFaults&) = delete;
  SessionFaults& operator=(const SessionFaults&) = delete;

  /// Returns: whether the n-th statement came.
  bool happened() const;
};

/// Tries `attempt` with the session lost before, and then after, its 1st, 2nd, 3rd ... statement, until a try meets no
/// loss. It makes the SessionFaults and returns whether its loss happened.
inline void ForEachLostStatement(int most, const std::function<bool(SessionFaults::Kind, int at)>& attempt) {
  for (const auto kind : {SessionFaults::Kind::kLostBefore, SessionFaults::Kind::kLostAfter}) {
    bool happened = true;
    for (int at = 1; happened; ++at) {
      SCOPED_TRACE((kind == SessionFaults::Kind::kLostBefore ? "before statement " : "after statement ") +
                   std::to_string(at));
      ASSERT_LT(at, most);
      happened = attempt(kind, at);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace ferment::testing
