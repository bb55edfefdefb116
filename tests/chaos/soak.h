// SPDX-License-Identifier: Apache-2.0
//
// Work without end: run after run is submitted, and the folders of the oldest are removed, while what processes and
// disk hold is watched.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/chaos/chaos_cluster.h"
#include "tests/chaos/chaos_people.h"
#include "tests/chaos/resource_watch.h"

namespace ferment::chaos {

/// Thread: one. `people` and `cluster` outlive it.
class Soak {
 public:
  /// Runs of `spec`, in folders of the cluster's.
  Soak(ChaosCluster& cluster, std::deque<Person>& people, std::string spec);

  /// Has somebody new come where fewer than two runs go on: three in five let theirs be, one cancels it and opens it
  /// again twice, one cancels it for good.
  void Invite();
  /// Looks at processes and disk, and removes old runs, when it is time.
  void Watch(Instant now);
  /// Runs whose folders were judged and are gone.
  const std::set<std::string>& removed() const { return removed_; }
  /// Returns: a line for each series, and what the log is in the end; adds what is not flat.
  std::vector<std::string> Judge(std::vector<Breach>& breaches) const;

 private:
  void NoteEnds(Instant now);
  void LookAtProcesses(Instant now);
  void LookAtDisk(Instant now);
  void RemoveOldRuns();

  ChaosCluster& cluster_;
  std::deque<Person>& people_;
  const std::string spec_;
  const Instant begin_ = std::chrono::steady_clock::now();
  ResourceWatch watch_;
  /// Those whose last wish was granted, and when that was seen, until their folders go.
  std::deque<std::pair<std::chrono::nanoseconds, const Person*>> ended_;
  std::set<const Person*> seen_ended_;
  std::set<std::string> removed_;
  Instant next_look_{};
  Instant next_disk_look_{};
  Instant next_removal_{};
};

}  // namespace ferment::chaos
