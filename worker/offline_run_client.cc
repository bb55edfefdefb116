// SPDX-License-Identifier: Apache-2.0
#include "worker/offline_run_client.h"

#include <optional>
#include <utility>

#include "common/base/unique_name.h"
#include "common/io/folder_hold.h"

namespace ferment::worker {
namespace {

class OfflineRunClient : public RunClient {
 public:
  OfflineRunClient(std::filesystem::path run_dir, std::string job)
      : run_dir_(std::move(run_dir)), job_(std::move(job)) {}

  Status Acquire() override {
    auto hold = io::FolderHold::Take(run_dir_, job_ + "-by-hand-" + NewUniqueName());
    if (!hold) return hold.error();
    hold_.emplace(*std::move(hold));
    return {};
  }
  void Report(const JobProgress&) override {}
  void ReportRanks(const std::vector<double>&) override {}
  bool StopRequested() const override { return false; }
  Status Fenced() const override { return Status(); }
  Status Complete(const JobResult&) override { return Status(); }
  void ReportFailure(int, std::string_view) override {}

 private:
  std::filesystem::path run_dir_;
  std::string job_;
  std::optional<io::FolderHold> hold_;
};

}  // namespace

std::unique_ptr<RunClient> MakeOfflineRunClient(std::filesystem::path run_dir, std::string job) {
  return std::make_unique<OfflineRunClient>(std::move(run_dir), std::move(job));
}

}  // namespace ferment::worker
