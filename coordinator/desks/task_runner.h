// SPDX-License-Identifier: Apache-2.0
//
// Where the scheduler sends what may take long: files to count, jobs to start, reports to write.
#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace ferment::coordinator {

/// Begins tasks in the order in which they were posted, never on the caller's thread before Post returns.
class TaskRunner {
 public:
  virtual ~TaskRunner() = default;
  virtual void Post(std::function<void()> task) = 0;
};

/// Threads of its own: one finishes each task before the next, several work side by side. The destructor finishes the
/// tasks that run and drops those that wait. Thread: any.
class ThreadTaskRunner final : public TaskRunner {
 public:
  explicit ThreadTaskRunner(int threads = 1);
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
  int idle_ FERMENT_GUARDED_BY(mutex_) = 0;
  // last: it uses all of the above
  std::vector<std::jthread> threads_;
};

}  // namespace ferment::coordinator
