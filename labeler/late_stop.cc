// SPDX-License-Identifier: Apache-2.0
#include "labeler/late_stop.h"

#include <condition_variable>
#include <mutex>
#include <utility>

namespace ferment::labeler {

LateStop::LateStop(std::stop_token first, std::chrono::milliseconds later) {
  if (!first.stop_possible()) return;
  waiting_ = std::jthread([this, first = std::move(first), later](const std::stop_token& over) {
    std::mutex mutex;
    std::condition_variable_any wake;
    const std::stop_callback tell(first, [&] {
      // Not between the other thread's look and its wait.
      const std::lock_guard lock(mutex);
      wake.notify_all();
    });
    std::unique_lock lock(mutex);
    if (!wake.wait(lock, over, [&] { return first.stop_requested(); })) return;
    wake.wait_for(lock, over, later, [] { return false; });
    if (!over.stop_requested()) late_.request_stop();
  });
}

}  // namespace ferment::labeler
