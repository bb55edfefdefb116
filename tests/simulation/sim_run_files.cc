// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_run_files.h"

#include <utility>
#include <vector>

namespace ferment::simulation {

using coordinator::LabelEntry;
using coordinator::ModelFile;
using coordinator::ShardPlan;

Status SimRunFiles::PrepareRun(const RunSpec&, const std::filesystem::path&, const std::string&) {
  return world_.files.Trouble("prepare");
}

Result<ShardPlan> SimRunFiles::PlanLabelling(const RunSpec&, const ModelFile& teacher) {
  FERMENT_RETURN_IF_ERROR(world_.files.Trouble("plan labelling"));
  return world_.files.PlanLabelling(teacher);
}

Result<ShardPlan> SimRunFiles::PlanFeatures(const RunSpec&, std::span<const ModelFile> models) {
  FERMENT_RETURN_IF_ERROR(world_.files.Trouble("plan features"));
  return world_.files.PlanFeatures(models);
}

class SimRunFiles::IndexMaking final : public coordinator::LabelIndexMaking {
 public:
  IndexMaking(SimRunFiles& files, std::filesystem::path folder) : files_(files), folder_(std::move(folder)) {}
  Status Append(std::span<const LabelEntry> entries) override {
    entries_.insert(entries_.end(), entries.begin(), entries.end());
    return {};
  }
  Status Finish(const coordinator::Fence& fence) override {
    return files_.WriteLabelIndex(folder_, std::move(entries_), fence);
  }

 private:
  SimRunFiles& files_;
  const std::filesystem::path folder_;
  std::vector<LabelEntry> entries_;
};

Result<std::unique_ptr<coordinator::LabelIndexMaking>> SimRunFiles::BeginLabelIndex(const std::filesystem::path& folder,
                                                                                    const coordinator::Fence&) {
  return std::make_unique<IndexMaking>(*this, folder);
}

Status SimRunFiles::WriteLabelIndex(const std::filesystem::path& folder, std::vector<LabelEntry> entries,
                                    const coordinator::Fence& fence) {
  FERMENT_RETURN_IF_ERROR(fence());
  FERMENT_RETURN_IF_ERROR(world_.files.Trouble("write an index"));
  if (!Stops()) return Stage(folder.string(), std::move(entries), fence, /*may_stop=*/true);
  // Its answer waits too; where it comes too late it is fenced, and what it believes no longer matters. It waits for
  // this stop alone: after another one the answer would come before what it tells of.
  parts_.process.After(SimTime(0), [this, name = folder.string(), entries = std::move(entries), fence] {
    (void)Stage(name, entries, fence, /*may_stop=*/false);
  });
  return {};
}

bool SimRunFiles::Stops() {
  if (!world_.Faulty() || !world_.Chance(world_.plan.stops_before_rename)) return false;
  parts_.stop();
  return true;
}

Status SimRunFiles::Stage(const std::string& folder, std::vector<LabelEntry> entries, const coordinator::Fence& fence,
                          bool may_stop) {
  // The first write of a coordinator removes what others have staged, and asks before it does.
  FERMENT_RETURN_IF_ERROR(fence());
  const std::uint64_t staged = world_.files.StageIndex(parts_.term, folder);
  if (Status status = fence(); !status.ok()) {
    world_.files.DropStaged(folder, staged);
    return status;
  }
  auto show = [this, folder, staged, entries = std::move(entries)] { world_.files.ShowIndex(folder, staged, entries); };
  if (may_stop && Stops()) {
    parts_.process.After(SimTime(0), show);
  } else {
    show();
  }
  return {};
}

Status SimRunFiles::WritePhaseTable(const std::filesystem::path&, const std::string&, const coordinator::Fence&) {
  return {};
}

Status SimRunFiles::WithdrawResult(const std::filesystem::path&, const std::string&) {
  return world_.files.Trouble("withdraw a result");
}

Status SimRunFiles::WriteReport(const std::filesystem::path& run_dir, const coordinator::Fence& fence) {
  FERMENT_RETURN_IF_ERROR(fence());
  FERMENT_RETURN_IF_ERROR(world_.files.Trouble("write the report"));
  world_.files.ShowReport(run_dir.string());
  return {};
}

Result<std::uint64_t> SimRunFiles::FileSize(const std::filesystem::path& file) {
  return world_.files.FileSize(file.string());
}

}  // namespace ferment::simulation
