// SPDX-License-Identifier: Apache-2.0
//
// The standard process_* metrics of this process, as the kernel tells them, and how many errors it has logged.
#pragma once

#include "common/base/mutex.h"
#include "common/metrics/metric.h"

namespace ferment::metrics {

/// Thread: any. The registry outlives it.
class ProcessMetrics {
 public:
  explicit ProcessMetrics(MetricRegistry& registry);

  /// Reads them anew; call before each exposition. What cannot be read stays as it was.
  void Refresh();

 private:
  // constant after construction
  Counter& cpu_;
  Gauge& resident_;
  Gauge& virtual_;
  Gauge& open_files_;
  Gauge& max_files_;
  Gauge& start_time_;
  Counter& warnings_;
  Counter& errors_;

  // orders what is added to cpu_, warnings_ and errors_
  Mutex mutex_;
};

}  // namespace ferment::metrics
