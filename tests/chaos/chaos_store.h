// SPDX-License-Identifier: Apache-2.0
//
// Reads the rows of a coordinator's log without being a coordinator: no term begins, nothing is locked.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::chaos {

struct StoredRow {
  std::int64_t sequence = 0;
  std::uint64_t term = 0;
  /// An encoded event.
  std::string body;
  friend bool operator==(const StoredRow&, const StoredRow&) = default;
};

/// Where a round's coordinators keep their log; one of the two.
struct StoreAddress {
  std::filesystem::path sqlite;
  std::string postgres;

  /// Returns: the value of --store.
  std::string Flag() const { return postgres.empty() ? "sqlite:" + sqlite.string() : postgres; }
};

/// Returns: all rows by sequence. A SQLite file is copied first, its write-ahead log with it: no coordinator may run
/// on it meanwhile. Errors: Unavailable where the database does not answer, DataLoss where it is damaged.
Result<std::vector<StoredRow>> ReadStore(const StoreAddress& address);

/// How far the log went at some instant.
struct StoreMark {
  /// All that was acknowledged before is to be in the rows up to here.
  std::chrono::nanoseconds at{0};
  std::int64_t last_sequence = 0;
};

}  // namespace ferment::chaos
