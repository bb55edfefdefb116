// SPDX-License-Identifier: Apache-2.0
#include "worker/offline_run_client.h"

namespace ferment::worker {
namespace {

class OfflineRunClient : public RunClient {
 public:
  Status Acquire() override { return Status(); }
  void Report(const JobProgress&) override {}
  bool StopRequested() const override { return false; }
  Status Fenced() const override { return Status(); }
  Status Complete(const JobResult&) override { return Status(); }
  void ReportFailure(int, std::string_view) override {}
};

}  // namespace

std::unique_ptr<RunClient> MakeOfflineRunClient() { return std::make_unique<OfflineRunClient>(); }

}  // namespace ferment::worker
