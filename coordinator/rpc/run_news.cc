// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_news.h"

#include <utility>

namespace ferment::coordinator {
namespace {

constexpr std::chrono::milliseconds kInterval{200};

}  // namespace

RunNews::RunNews(Scheduler& scheduler)
    : scheduler_(scheduler), thread_([this](const std::stop_token& stop) { Loop(stop); }) {}

RunNews::~RunNews() = default;

void RunNews::First(const std::string& run_id, Look look) {
  const MutexLock lock(mutex_);
  first_[run_id].push_back(std::move(look));
  changed_.notify_one();
}

void RunNews::Next(const std::string& run_id, Look look) {
  const MutexLock lock(mutex_);
  next_[run_id].push_back(std::move(look));
  if (ending_) changed_.notify_one();
}

void RunNews::End() {
  const MutexLock lock(mutex_);
  ending_ = true;
  changed_.notify_one();
}

RunNews::Looks RunNews::Take(const std::stop_token& stop) {
  const MutexLock lock(mutex_);
  changed_.wait_until(mutex_, stop, due_,
                      [this]() FERMENT_REQUIRES(mutex_) { return !first_.empty() || (ending_ && !next_.empty()); });
  const auto now = std::chrono::steady_clock::now();
  if (now < due_ && !ending_) return std::exchange(first_, {});
  due_ = now + kInterval;
  Looks all = std::exchange(next_, {});
  for (auto& [run_id, looks] : std::exchange(first_, {})) {
    std::vector<Look>& same = all[run_id];
    same.insert(same.end(), std::make_move_iterator(looks.begin()), std::make_move_iterator(looks.end()));
  }
  return all;
}

void RunNews::Loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    for (const auto& [run_id, looks] : Take(stop)) {
      View view = Fail(UnavailableError("the coordinator is stopping; follow the next one"));
      const bool ending = [this] {
        const MutexLock lock(mutex_);
        return ending_;
      }();
      if (!ending) {
        // clang before 16 captures no structured binding by its name.
        auto seen = Await<Result<RunView>>([this, &id = run_id](auto then) { scheduler_.View(id, std::move(then)); });
        view = seen ? View(std::make_shared<const RunView>(*std::move(seen))) : View(Fail(seen.error()));
      }
      for (const Look& look : looks) look(view);
    }
  }
}

}  // namespace ferment::coordinator
