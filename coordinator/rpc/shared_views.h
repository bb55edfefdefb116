// SPDX-License-Identifier: Apache-2.0
//
// One look at a run for all streams that follow it, so that watchers cost the scheduler nothing each.
#pragma once

#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "common/base/mutex.h"
#include "coordinator/scheduler.h"

namespace ferment::coordinator {

using SharedView = Result<std::shared_ptr<const RunView>>;

/// Thread: any. The scheduler outlives it.
class SharedViews {
 public:
  SharedViews(Scheduler& scheduler, std::chrono::milliseconds fresh_for)
      : scheduler_(scheduler), fresh_for_(fresh_for) {}

  /// Returns: the run as it is now. Errors: those of Scheduler::View.
  SharedView Look(const std::string& run_id);
  /// Returns: the run as somebody saw it at most `fresh_for` ago. Errors: those of Scheduler::View.
  SharedView LookAgain(const std::string& run_id);

 private:
  struct Seen {
    std::chrono::steady_clock::time_point asked;
    std::shared_future<SharedView> view;
  };

  Scheduler& scheduler_;
  const std::chrono::milliseconds fresh_for_;
  // Under mutex_: looks that are no older than `fresh_for`, and a few more.
  Mutex mutex_;
  std::map<std::string, Seen> seen_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::coordinator
