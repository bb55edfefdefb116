// SPDX-License-Identifier: Apache-2.0
//
// The runs' folders: what labelers and trainers wrote, and the index files that make label sets visible.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/base/random.h"
#include "coordinator/desks/run_files.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_log_rules.h"
#include "tests/simulation/sim_plan.h"

namespace ferment::simulation {

/// Outlives every coordinator. Visible is what an index names: a label set, once visible, is never another, never
/// vanishes, and an index never names what is not written or not logged.
class SimFiles {
 public:
  SimFiles(const SimPlan& plan, SimHistory& history, SimLogRules& log)
      : plan_(plan), history_(history), log_(log), random_(plan.seed, StreamOf("simulation.files")) {}

  /// Returns: whether a folder operation fails here.
  Status Trouble(const std::string& what);
  coordinator::ShardPlan PlanLabelling(const coordinator::ModelFile& teacher) const;
  coordinator::ShardPlan PlanFeatures(std::span<const coordinator::ModelFile> models) const;

  /// As io::FencedWriter: the first time that `writer` writes there, what others have not renamed yet goes.
  /// Returns: the number of its temporary file.
  std::uint64_t StageIndex(std::uint64_t writer, const std::string& folder);
  void DropStaged(const std::string& folder, std::uint64_t number) { staged_[folder].erase(number); }
  /// Renames it to index.json. Returns: false where it is not there any more.
  bool ShowIndex(const std::string& folder, std::uint64_t number, std::span<const coordinator::LabelEntry> entries);
  void ShowReport(const std::string& run_dir) { reports_.insert(run_dir); }
  Result<std::uint64_t> FileSize(const std::string& file) const;

  /// A labeler or a trainer did.
  void Write(const std::string& file) { files_.insert(file); }
  /// Returns: shards of this index, in order, with the digest of each.
  const std::map<std::uint64_t, std::string>& Index(const std::string& folder) { return indexes_[folder]; }
  bool HasReport(const std::string& run_dir) const { return reports_.contains(run_dir); }
  void EndFaults() { may_fail_ = false; }

 private:
  const SimPlan& plan_;
  SimHistory& history_;
  SimLogRules& log_;
  RandomSequence random_;
  bool may_fail_ = true;
  std::set<std::string> files_;
  std::map<std::string, std::map<std::uint64_t, std::string>> indexes_;
  std::map<std::string, std::set<std::uint64_t>> staged_;
  std::set<std::pair<std::uint64_t, std::string>> taken_over_;
  std::uint64_t next_staged_ = 1;
  std::set<std::string> reports_;
};

}  // namespace ferment::simulation
