// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/shared_views.h"

#include <utility>

namespace ferment::coordinator {

SharedView SharedViews::Look(const std::string& run_id) {
  auto view = scheduler_.View(run_id);
  if (!view) return Fail(view.error());
  return std::make_shared<const RunView>(std::move(*view));
}

SharedView SharedViews::LookAgain(const std::string& run_id) {
  const auto now = std::chrono::steady_clock::now();
  std::promise<SharedView> mine;
  std::shared_future<SharedView> others;
  {
    const MutexLock lock(mutex_);
    std::erase_if(seen_, [&](const auto& one) { return now - one.second.asked >= fresh_for_; });
    const auto found = seen_.find(run_id);
    if (found != seen_.end()) {
      others = found->second.view;
    } else {
      seen_[run_id] = {now, mine.get_future().share()};
    }
  }
  if (others.valid()) return others.get();
  SharedView view = Look(run_id);
  mine.set_value(view);
  return view;
}

}  // namespace ferment::coordinator
