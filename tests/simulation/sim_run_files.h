// SPDX-License-Identifier: Apache-2.0
//
// The runs' folders as one coordinator reaches them: it may be stopped for long between a look and a rename.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/desks/run_files.h"
#include "tests/simulation/sim_process.h"
#include "tests/simulation/sim_world.h"

namespace ferment::simulation {

class SimRunFiles final : public coordinator::RunFiles {
 public:
  struct Parts {
    SimWorld& world;
    SimProcess& process;
    std::uint64_t term = 0;
    /// Stops the process for a while.
    std::function<void()> stop;
  };
  explicit SimRunFiles(Parts parts) : parts_(std::move(parts)), world_(parts_.world) {}

  Status PrepareRun(const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& owner) override;
  void LeaveRun(const std::filesystem::path&) override {}
  Result<coordinator::ShardPlan> PlanLabelling(const RunSpec& spec, const coordinator::ModelFile& teacher) override;
  Result<coordinator::ShardPlan> PlanFeatures(const RunSpec& spec,
                                              std::span<const coordinator::ModelFile> models) override;
  Result<std::unique_ptr<coordinator::LabelIndexMaking>> BeginLabelIndex(const std::filesystem::path& folder,
                                                                         const coordinator::Fence& fence) override;
  Status WritePhaseTable(const std::filesystem::path& run_dir, const std::string& text,
                         const coordinator::Fence& fence) override;
  Status WithdrawResult(const std::filesystem::path& run_dir, const std::string& job_id) override;
  Status WriteReport(const std::filesystem::path& run_dir, const coordinator::Fence& fence) override;
  Result<std::uint64_t> FileSize(const std::filesystem::path& file) override;

 private:
  class IndexMaking;
  Status WriteLabelIndex(const std::filesystem::path& folder, std::vector<coordinator::LabelEntry> entries,
                         const coordinator::Fence& fence);
  /// Stops the process here, perhaps.
  bool Stops();
  /// As io::FencedWriter. `may_stop`: the process may stop before the rename.
  Status Stage(const std::string& folder, std::vector<coordinator::LabelEntry> entries, const coordinator::Fence& fence,
               bool may_stop);

  const Parts parts_;
  SimWorld& world_;
};

}  // namespace ferment::simulation
