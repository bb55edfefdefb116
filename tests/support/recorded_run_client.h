// SPDX-License-Identifier: Apache-2.0
//
// A coordinator as a trainer sees it: remembers what it was told, and asks to stop when a test says so.
#pragma once

#include <optional>
#include <string>

#include "worker/run_client.h"

namespace ferment::testing {

class RecordedRunClient : public worker::RunClient {
 public:
  Status Acquire() override { return Status(); }
  std::uint64_t token() const override { return held; }
  void Report(const worker::JobProgress& progress) override { last = progress; }
  void ReportRanks(const std::vector<double>&) override {}
  bool StopRequested() const override { return stop; }
  Status Fenced() const override { return fenced; }
  Status Complete(const worker::JobResult& result) override {
    completed.push_back(result);
    return Status();
  }
  void ReportFailure(int, std::string_view) override {}

  std::uint64_t held = 1;
  bool stop = false;
  Status fenced;
  worker::JobProgress last;
  std::vector<worker::JobResult> completed;
};

}  // namespace ferment::testing
