// SPDX-License-Identifier: Apache-2.0
//
// The runs' folders: what labelers and trainers wrote, and the index files that make label sets visible.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "common/base/random.h"
#include "coordinator/run_files.h"
#include "tests/simulation/sim_history.h"
#include "tests/simulation/sim_log_rules.h"
#include "tests/simulation/sim_plan.h"

namespace ferment::simulation {

/// Outlives every coordinator. Visible is what an index names: a label set, once visible, is never another, and an
/// index never names what is not written or not logged.
class SimFiles final : public coordinator::RunFiles {
 public:
  SimFiles(const SimPlan& plan, SimHistory& history, SimLogRules& log)
      : plan_(plan), history_(history), log_(log), random_(plan.seed, StreamOf("simulation.files")) {}

  Status PrepareRun(const RunSpec& spec, const std::filesystem::path& run_dir) override;
  Result<coordinator::ShardPlan> PlanLabelling(const RunSpec& spec, const coordinator::ModelFile& teacher) override;
  Result<coordinator::ShardPlan> PlanFeatures(const RunSpec& spec,
                                              std::span<const coordinator::ModelFile> models) override;
  Status WriteLabelIndex(const std::filesystem::path& folder,
                         std::span<const coordinator::LabelEntry> entries) override;
  Status WritePhaseTable(const std::filesystem::path& run_dir, const std::string& text) override;
  Status WriteReport(const std::filesystem::path& run_dir) override;
  Result<std::uint64_t> FileSize(const std::filesystem::path& file) override;

  /// A labeler or a trainer did.
  void Write(const std::string& file) { files_.insert(file); }
  /// Returns: shards of this index, in order, with the digest of each.
  const std::map<std::uint64_t, std::string>& Index(const std::string& folder) { return indexes_[folder]; }
  bool HasReport(const std::string& run_dir) const { return reports_.contains(run_dir); }
  void EndFaults() { may_fail_ = false; }

 private:
  Status Trouble(const std::string& what);

  const SimPlan& plan_;
  SimHistory& history_;
  SimLogRules& log_;
  RandomSequence random_;
  bool may_fail_ = true;
  std::set<std::string> files_;
  std::map<std::string, std::map<std::uint64_t, std::string>> indexes_;
  std::set<std::string> reports_;
};

}  // namespace ferment::simulation
