// SPDX-License-Identifier: Apache-2.0
#include "coordinator/scheduler/task_lanes.h"

#include <utility>

namespace ferment::coordinator {

void TaskLanes::Post(const std::string& lane, std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    const auto [found, idle] = lanes_.try_emplace(lane);
    found->second.push_back(std::move(task));
    if (!idle) return;
  }
  runner_.Post([this, lane] { Run(lane); });
}

void TaskLanes::Run(const std::string& lane) {
  while (true) {
    Tasks tasks;
    {
      const MutexLock lock(mutex_);
      const auto found = lanes_.find(lane);
      tasks.swap(found->second);
      if (tasks.empty()) {
        lanes_.erase(found);
        return;
      }
    }
    for (const auto& task : tasks) task();
  }
}

}  // namespace ferment::coordinator
