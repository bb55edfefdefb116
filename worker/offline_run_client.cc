// SPDX-License-Identifier: Apache-2.0
#include "worker/offline_run_client.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/unique_name.h"
#include "common/io/folder_hold.h"

namespace ferment::worker {
namespace {

/// A file server keeps the lock of a host that died, from which a batch system has moved the job, for its lease: one
/// to one and a half minutes.
constexpr std::chrono::minutes kDeadHostPatience(2);

class OfflineRunClient : public RunClient {
 public:
  OfflineRunClient(std::filesystem::path run_dir, std::string job, std::function<bool()> leaving)
      : run_dir_(std::move(run_dir)), job_(std::move(job)), leaving_(std::move(leaving)) {}

  Status Acquire() override {
    const std::string owner = job_ + "-by-hand-" + NewUniqueName();
    const auto give_up = std::chrono::steady_clock::now() + kDeadHostPatience;
    for (;;) {
      auto hold = io::FolderHold::Take(run_dir_, owner);
      if (hold) {
        hold_.emplace(*std::move(hold));
        return {};
      }
      const auto holder = io::HolderOf(run_dir_);
      const bool may_be_dead = holder && !holder->on_this_host;
      if (!may_be_dead || std::chrono::steady_clock::now() >= give_up) return hold.error();
      if (leaving_())
        return CancelledError("asked to end while another host had the folder: path=" + run_dir_.string() +
                              " host=" + holder->host)
            .WithExitCode(exit_code::kTerminated);
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }
  void Report(const JobProgress&) override {}
  void ReportRanks(const std::vector<double>&) override {}
  bool StopRequested() const override { return false; }
  std::uint64_t token() const override { return 0; }
  Status Fenced() const override { return Status(); }
  Status Complete(const JobResult&) override { return Status(); }
  void ReportFailure(int, std::string_view) override {}

 private:
  std::filesystem::path run_dir_;
  std::string job_;
  std::function<bool()> leaving_;
  std::optional<io::FolderHold> hold_;
};

}  // namespace

std::unique_ptr<RunClient> MakeOfflineRunClient(std::filesystem::path run_dir, std::string job,
                                                std::function<bool()> leaving) {
  return std::make_unique<OfflineRunClient>(std::move(run_dir), std::move(job), std::move(leaving));
}

}  // namespace ferment::worker
