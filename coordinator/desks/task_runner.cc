// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/task_runner.h"

#include <utility>

namespace ferment::coordinator {

ThreadTaskRunner::ThreadTaskRunner(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Loop(std::move(stop)); });
  }
}

ThreadTaskRunner::~ThreadTaskRunner() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

void ThreadTaskRunner::Post(std::function<void()> task) {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    wake = idle_ > 0;
  }
  // Outside, or the woken thread would wait for the lock at once.
  if (wake) posted_.notify_one();
}

void ThreadTaskRunner::Loop(std::stop_token stop) {
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      ++idle_;
      posted_.wait(mutex_, stop, [this]() FERMENT_REQUIRES(mutex_) { return !tasks_.empty(); });
      --idle_;
      if (stop.stop_requested()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace ferment::coordinator
