// SPDX-License-Identifier: Apache-2.0
//
// Work that may wait for storage which does not answer, kept apart so that it holds up nothing else.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "common/base/mutex.h"
#include "coordinator/desks/task_runner.h"

namespace ferment::coordinator {

/// The tasks of a lane run one after the other, lanes side by side on `threads` threads: a lane that hangs holds one.
/// The destructor finishes the tasks that run and drops those that wait. Thread: any.
class TaskLanes {
 public:
  explicit TaskLanes(int threads) : runner_(threads) {}
  TaskLanes(const TaskLanes&) = delete;
  TaskLanes& operator=(const TaskLanes&) = delete;

  void Post(const std::string& lane, std::function<void()> task);

 private:
  using Tasks = std::deque<std::function<void()>>;
  void Run(const std::string& lane);

  // under mutex_
  Mutex mutex_;
  /// A lane is here while it runs, with what came meanwhile.
  std::map<std::string, Tasks> lanes_ FERMENT_GUARDED_BY(mutex_);
  // last: it uses all of the above
  ThreadTaskRunner runner_;
};

}  // namespace ferment::coordinator
