// SPDX-License-Identifier: Apache-2.0
#include "coordinator/task_runner.h"

#include <utility>

namespace ferment::coordinator {

ThreadTaskRunner::ThreadTaskRunner() : thread_([this](std::stop_token stop) { Loop(std::move(stop)); }) {}

ThreadTaskRunner::~ThreadTaskRunner() {
  thread_.request_stop();
  thread_.join();
}

void ThreadTaskRunner::Post(std::function<void()> task) {
  const MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  posted_.notify_one();
}

void ThreadTaskRunner::Loop(std::stop_token stop) {
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      posted_.wait(mutex_, stop, [this]() FERMENT_REQUIRES(mutex_) { return !tasks_.empty(); });
      if (stop.stop_requested()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace ferment::coordinator
