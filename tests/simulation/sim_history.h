// SPDX-License-Identifier: Apache-2.0
//
// What happened, line by line, as a digest of all and the last lines in full; and the first broken promise.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "coordinator/core/job.h"
#include "tests/simulation/sim_queue.h"

namespace ferment::simulation {

struct Violation {
  /// "P1" ... as docs/robustness.md lists them.
  std::string promise;
  std::string what;
};

/// Returns: the lease as violations name it.
std::string Name(const coordinator::LeaseKey& key);

class SimHistory {
 public:
  /// With `trace` every line goes to standard output as it happens.
  SimHistory(const SimQueue& queue, bool trace) : queue_(queue), trace_(trace) {}

  void Say(const std::string& line);
  /// Only the first counts: what follows may follow from it.
  void Violate(const std::string& promise, const std::string& what);

  const std::optional<Violation>& violation() const { return violation_; }
  /// Of all lines so far; equal histories have equal digests.
  std::uint64_t digest() const { return digest_; }
  std::uint64_t lines() const { return lines_; }
  const std::deque<std::string>& last_lines() const { return last_; }

 private:
  const SimQueue& queue_;
  const bool trace_;
  std::uint64_t digest_ = 0xcbf29ce484222325;
  std::uint64_t lines_ = 0;
  std::deque<std::string> last_;
  std::optional<Violation> violation_;
};

}  // namespace ferment::simulation
