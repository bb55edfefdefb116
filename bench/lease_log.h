// SPDX-License-Identifier: Apache-2.0
//
// Writes the log of a coordinator whose last run is being labelled, with as many shards and as long a past as asked
// for.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ferment::bench {

/// The run that is being labelled; its job is "label".
inline constexpr const char* kLeaseRun = "bench-1";

struct LeaseLogOptions {
  /// SQLite file; must not exist.
  std::filesystem::path store;
  /// The run's folder; is made.
  std::filesystem::path run_dir;
  std::filesystem::path spec;
  std::uint64_t shards = 100'000;
  /// Shards with a result.
  std::uint64_t committed = 0;
  /// Rows in all, by leases that were returned.
  std::uint64_t events = 0;
  /// Runs that have ended, each with as many shards.
  int past_runs = 0;
};

/// Returns: the rows. Throws std::runtime_error.
std::uint64_t WriteLeaseLog(const LeaseLogOptions& options);

}  // namespace ferment::bench
