// SPDX-License-Identifier: Apache-2.0
//
// Looks at what processes and stores hold, again and again, and judges whether it stays.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/chaos/chaos_oracle.h"
#include "tests/chaos/chaos_process.h"
#include "tests/chaos/flatness.h"

namespace ferment::chaos {

/// One series: what it is of, and whose.
struct Watched {
  /// "labeler-2", "coordinator-0 leads", "store" ...
  std::string who;
  /// "rss_mib", "files", "threads", "bytes".
  std::string what;
  /// Since when it is watched, since the watch began.
  std::chrono::milliseconds begin{0};
  std::vector<Reading> readings;
};

/// A process' life is a series of its own: one that is killed and started again begins anew, and so does a coordinator
/// that stood by and leads. Thread: one.
class ResourceWatch {
 public:
  /// Each reading is a line of `file` too: seconds, who, what, value, with tabs between.
  ResourceWatch(const std::filesystem::path& file, Instant begin);

  /// The process that is `who` now.
  void LookAt(Instant now, const std::string& who, pid_t pid);
  void Take(Instant now, const std::string& who, const std::string& what, double value);

  const std::vector<Watched>& series() const { return series_; }

 private:
  const Instant begin_;
  std::ofstream file_;
  std::vector<Watched> series_;
  std::map<std::string, pid_t> processes_;
  /// By who and what: which of `series_` goes on.
  std::map<std::pair<std::string, std::string>, std::size_t> open_;
};

/// Returns: a line for each series that is long enough to be judged: its life, first and last value, growth; adds a
/// breach of T6.3 for each that is not flat, and of P6 for a process past 256 MiB. `remembered`: MiB that whoever leads
/// keeps of runs, by the time since the watch began, rising; it may grow by as much as they do in its own life.
std::vector<std::string> JudgeSeries(const std::vector<Watched>& series, const std::vector<Reading>& remembered,
                                     std::vector<Breach>& breaches);

}  // namespace ferment::chaos
