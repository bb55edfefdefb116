// SPDX-License-Identifier: Apache-2.0
//
// A run's folder and data as a coordinator test wishes them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/desks/run_files.h"

namespace ferment::testing {

/// 10 records a shard. Thread: any; settings before use.
class RecordedRunFiles final : public coordinator::RunFiles {
 public:
  std::uint64_t label_shards = 3;
  std::uint64_t videos = 2;
  std::uint32_t lease_ms = 10'000;
  double max_damage = 0.2;
  Status prepare_status;
  Status plan_status;
  Status piece_status;
  Status index_status;
  Status table_status;
  Status report_status;
  std::atomic<std::uint64_t> file_size{100};
  std::atomic<int> prepared{0};
  std::atomic<int> tables_written{0};
  /// Runs whose folders were given up.
  std::atomic<int> left{0};
  /// Called with each piece of an index.
  std::function<void()> on_piece = [] {};
  /// Called by FileSize, on its thread.
  std::function<void()> before_file_size;

  Status PrepareRun(const RunSpec&, const std::filesystem::path&, const std::string&) override {
    ++prepared;
    return prepare_status;
  }
  void LeaveRun(const std::filesystem::path&) override { ++left; }

  Result<coordinator::ShardPlan> PlanLabelling(const RunSpec&, const coordinator::ModelFile& teacher) override {
    if (!plan_status.ok()) return Fail(plan_status);
    coordinator::ShardPlan plan{
        {"faces", "config", "avx2", lease_ms, max_damage, {{"teacher", teacher.file, teacher.sha256, "labels/x"}}}, {}};
    for (std::uint64_t i = 0; i < label_shards; ++i) plan.shards.push_back({"", i * 10, 10});
    return plan;
  }
  Result<coordinator::ShardPlan> PlanFeatures(const RunSpec&, std::span<const coordinator::ModelFile> models) override {
    if (!plan_status.ok()) return Fail(plan_status);
    coordinator::ShardPlan plan{{"clips", "", "", lease_ms, 1, {}}, {}};
    for (const auto& model : models) plan.work.models.push_back({model.role, model.file, model.sha256, "features/x"});
    for (std::uint64_t i = 0; i < videos; ++i) plan.shards.push_back({"video" + std::to_string(i), 0, 5});
    return plan;
  }
  Result<std::unique_ptr<coordinator::LabelIndexMaking>> BeginLabelIndex(const std::filesystem::path&,
                                                                         const coordinator::Fence&) override {
    return std::make_unique<IndexMaking>(*this);
  }
  Status WritePhaseTable(const std::filesystem::path&, const std::string& text, const coordinator::Fence&) override {
    ++tables_written;
    const MutexLock lock(mutex_);
    if (table_status.ok()) phase_table_ = text;
    return table_status;
  }
  Status WithdrawResult(const std::filesystem::path&, const std::string& job_id) override {
    const MutexLock lock(mutex_);
    withdrawn_.push_back(job_id);
    return {};
  }
  Status WriteReport(const std::filesystem::path&, const coordinator::Fence&) override {
    const MutexLock lock(mutex_);
    ++reports_;
    return report_status;
  }
  Result<std::uint64_t> FileSize(const std::filesystem::path& file) override {
    if (before_file_size) before_file_size();
    if (file_size == 0) return Fail(NotFoundError("no such file: file=" + file.string()));
    return file_size.load();
  }

  std::size_t indexed() const {
    const MutexLock lock(mutex_);
    return indexed_;
  }
  std::vector<std::string> withdrawn() const {
    const MutexLock lock(mutex_);
    return withdrawn_;
  }
  int reports() const {
    const MutexLock lock(mutex_);
    return reports_;
  }
  std::string phase_table() const {
    const MutexLock lock(mutex_);
    return phase_table_;
  }

  /// Indexes that were begun and not finished.
  int unfinished() const {
    const MutexLock lock(mutex_);
    return unfinished_;
  }

 private:
  class IndexMaking final : public coordinator::LabelIndexMaking {
   public:
    explicit IndexMaking(RecordedRunFiles& files) : files_(files) { Count(1); }
    ~IndexMaking() override { Count(-1); }
    Status Append(std::span<const coordinator::LabelEntry> entries) override {
      entries_ += entries.size();
      files_.on_piece();
      return files_.piece_status;
    }
    Status Finish(const coordinator::Fence& fence) override {
      FERMENT_RETURN_IF_ERROR(fence());
      const MutexLock lock(files_.mutex_);
      if (files_.index_status.ok()) files_.indexed_ = entries_;
      return files_.index_status;
    }

   private:
    void Count(int more) {
      const MutexLock lock(files_.mutex_);
      files_.unfinished_ += more;
    }
    RecordedRunFiles& files_;
    std::size_t entries_ = 0;
  };

  mutable Mutex mutex_;
  int unfinished_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::size_t indexed_ FERMENT_GUARDED_BY(mutex_) = 0;
  int reports_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> withdrawn_ FERMENT_GUARDED_BY(mutex_);
  std::string phase_table_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::testing
