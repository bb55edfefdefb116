// SPDX-License-Identifier: Apache-2.0
//
// What the coordinator's admin port answers: metrics, probes, the status page and its data.
#pragma once

#include <map>
#include <string>

#include "common/base/mutex.h"
#include "common/event/admin_server.h"
#include "common/metrics/process_metrics.h"

namespace ferment::coordinator {

/// The admin port's view of the process. Handlers must not block, so the runs' JSON is brought here by whoever may wait
/// for the scheduler.
///
/// Thread: any.
class AdminState {
 public:
  /// For a person; empty: it serves.
  void SetWhyNotServing(std::string why);
  std::string WhyNotServing() const;
  void SetRuns(std::string json);
  std::string Runs() const;

 private:
  mutable Mutex mutex_;
  std::string why_not_ FERMENT_GUARDED_BY(mutex_) = "starting";
  std::string runs_ FERMENT_GUARDED_BY(mutex_) = R"({"runs": []})";
};

/// The arguments outlive the handlers.
std::map<std::string, event::HttpHandler> AdminRoutes(const AdminState& state, const metrics::MetricRegistry& registry,
                                                      metrics::ProcessMetrics& process);

}  // namespace ferment::coordinator
