// SPDX-License-Identifier: Apache-2.0
//
// Looks at the runs that are being followed, a few times a second, once for all who follow one.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/scheduler/scheduler.h"

namespace ferment::coordinator {

/// Thread: any. The scheduler outlives it.
class RunNews {
 public:
  /// Errors: those of Scheduler::View; Unavailable once End was called.
  using View = Result<std::shared_ptr<const RunView>>;
  /// Gets one view, on the thread of the news, and does not wait there.
  using Look = std::function<void(const View&)>;

  explicit RunNews(Scheduler& scheduler);
  ~RunNews();
  RunNews(const RunNews&) = delete;
  RunNews& operator=(const RunNews&) = delete;

  /// At once.
  void First(const std::string& run_id, Look look);
  /// At the next look of all.
  void Next(const std::string& run_id, Look look);
  /// Tells all who wait, and whoever comes, that the coordinator is stopping.
  void End();

 private:
  using Looks = std::map<std::string, std::vector<Look>>;
  void Loop(const std::stop_token& stop);
  Looks Take(const std::stop_token& stop);

  Scheduler& scheduler_;
  // synchronizes itself
  CondVar changed_;
  // under mutex_
  Mutex mutex_;
  Looks first_ FERMENT_GUARDED_BY(mutex_);
  Looks next_ FERMENT_GUARDED_BY(mutex_);
  bool ending_ FERMENT_GUARDED_BY(mutex_) = false;
  // of the thread
  std::chrono::steady_clock::time_point due_{};
  // last: it uses all of the above
  std::jthread thread_;
};

}  // namespace ferment::coordinator
