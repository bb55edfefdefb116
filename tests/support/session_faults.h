// SPDX-License-Identifier: Apache-2.0
//
// Stands between a test program and libpq: the session in which the n-th statement is sent is lost then.
#pragma once

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

}  // namespace ferment::testing
