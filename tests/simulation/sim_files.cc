// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_files.h"

#include <chrono>

namespace ferment::simulation {
namespace {

using coordinator::LabelEntry;
using coordinator::ModelFile;
using coordinator::ShardPlan;

constexpr std::uint64_t kFileBytes = 100;
constexpr double kMaxDamage = 0.5;

std::uint32_t LeaseMs(const SimPlan& plan) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(plan.lease).count());
}

}  // namespace

Status SimFiles::Trouble(const std::string& what) {
  if (!may_fail_ || random_.Uniform(0, 1) >= plan_.file_fails) return {};
  log_.AllowFolderFailures();
  history_.Say("folder: failed to " + what);
  return InternalError("no space to " + what).WithExitCode(exit_code::kStorageFailed);
}

ShardPlan SimFiles::PlanLabelling(const ModelFile& teacher) const {
  const std::string folder = "labels/faces/" + teacher.sha256 + "/config";
  ShardPlan plan{
      {"faces", "config", "", LeaseMs(plan_), kMaxDamage, {{"teacher", teacher.file, teacher.sha256, folder}}}, {}};
  for (std::uint64_t i = 0; i < plan_.label_shards; ++i) {
    plan.shards.push_back({"", i * plan_.shard_records, plan_.shard_records});
  }
  return plan;
}

ShardPlan SimFiles::PlanFeatures(std::span<const ModelFile> models) const {
  ShardPlan plan{{"clips", "", "", LeaseMs(plan_), kMaxDamage, {}}, {}};
  for (const ModelFile& model : models) {
    plan.work.models.push_back({model.role, model.file, model.sha256, "features/clips/" + model.sha256});
  }
  for (std::uint64_t i = 0; i < plan_.videos; ++i) plan.shards.push_back({"video" + std::to_string(i), 0, 5});
  return plan;
}

std::uint64_t SimFiles::StageIndex(std::uint64_t writer, const std::string& folder) {
  if (taken_over_.emplace(writer, folder).second) staged_[folder].clear();
  const std::uint64_t number = next_staged_++;
  staged_[folder].insert(number);
  return number;
}

bool SimFiles::ShowIndex(const std::string& folder, std::uint64_t number, std::span<const LabelEntry> entries) {
  if (staged_[folder].erase(number) == 0) {
    history_.Say("index " + folder + " comes too late");
    return false;
  }
  auto& visible = indexes_[folder];
  history_.Say("index " + folder + " entries=" + std::to_string(entries.size()));
  const std::string run_dir =
      std::filesystem::path(folder).parent_path().parent_path().parent_path().parent_path().string();
  std::map<std::uint64_t, std::string> fresh;
  for (const LabelEntry& entry : entries) {
    const std::string name = folder + " shard=" + std::to_string(entry.shard);
    if (!fresh.emplace(entry.shard, entry.file.sha256).second) history_.Violate("P1", "an index names twice: " + name);
    const auto former = visible.find(entry.shard);
    if (former != visible.end() && former->second != entry.file.sha256) {
      history_.Violate("P1", "another label set became visible: " + name);
    }
    if (!entry.counts.Conserved()) history_.Violate("P7", "counts of an index do not add up: " + name);
    if (!files_.contains(run_dir + "/" + entry.file.file)) {
      history_.Violate("P1", "an index names a file that is not there: " + name + " file=" + entry.file.file);
    }
  }
  if (entries.size() > log_.MostIndexed(folder)) {
    history_.Violate("P16", "the index of a stopped teacher goes on: " + folder);
  }
  const bool begins_anew = log_.AnyForgottenIn(run_dir);
  for (const auto& [shard, sha] : visible) {
    if (!fresh.contains(shard) && !begins_anew)
      history_.Violate("P1", "a visible label set vanished: shard=" + std::to_string(shard));
  }
  visible = std::move(fresh);
  return true;
}

Result<std::uint64_t> SimFiles::FileSize(const std::string& file) const {
  if (!files_.contains(file)) return Fail(NotFoundError("no such file: file=" + file));
  return kFileBytes;
}

}  // namespace ferment::simulation
