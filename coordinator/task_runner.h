// SPDX-License-Identifier: Apache-2.0
//
// Where the scheduler sends what may take long: files to count, jobs to start, reports to write.
#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <thread>

#include "common/base/mutex.h"

namespace ferment::coordinator {

/// Runs tasks in the order in which they were posted, never on the caller's thread before Post returns.
class TaskRunner {
 public:
  virtual ~TaskRunner() = default;
  virtual void Post(std::function<void()> task) = 0;
};

/// One thread of its own. The destructor finishes the task that runs and drops those that wait. Thread: any.
class ThreadTaskRunner final : public TaskRunner {
 public:
  ThreadTaskRunner();
  ~ThreadTaskRunner() override;
  ThreadTaskRunner(const ThreadTaskRunner&) = delete;
  ThreadTaskRunner& operator=(const ThreadTaskRunner&) = delete;
  void Post(std::function<void()> task) override;

 private:
  void Loop(std::stop_token stop);

  // synchronizes itself
  CondVar posted_;
  // under mutex_
  Mutex mutex_;
  std::deque<std::function<void()>> tasks_ FERMENT_GUARDED_BY(mutex_);
  // last: it uses all of the above
  std::jthread thread_;
};

}  // namespace ferment::coordinator
