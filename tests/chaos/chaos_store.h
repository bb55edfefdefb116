// SPDX-License-Identifier: Apache-2.0
//
// Reads the rows of a coordinator's log without being a coordinator: no term begins, nothing is locked.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
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

/// Has the database itself copy each row that is added from now on, so that none is lost where a snapshot takes the
/// place of the log. Call once, on a store that a coordinator made and has left.
Status KeepEveryRow(const StoreAddress& address);

struct KeptStore {
  /// Every row that ever was, snapshots among them, numbered from 1 in the order in which they were added.
  std::vector<StoredRow> all;
  /// Those that a coordinator would read.
  std::vector<StoredRow> present;
};
/// Returns: both as of one moment. Errors and REQUIRES: those of ReadStore.
Result<KeptStore> ReadKeptStore(const StoreAddress& address);

/// Returns: bytes of the disk that the log takes, indexes and free pages included; of a SQLite file those of the kept
/// rows too. Nothing where the database does not answer.
std::optional<double> StoreBytes(const StoreAddress& address);

/// How far the log went at some instant.
struct StoreMark {
  /// All that was acknowledged before is to be in the rows up to here.
  std::chrono::nanoseconds at{0};
  std::int64_t last_sequence = 0;
};

}  // namespace ferment::chaos
