// SPDX-License-Identifier: Apache-2.0
#include "coordinator/readiness.h"

#include <utility>

#include "common/base/logging.h"

namespace ferment::coordinator {
namespace {

/// Longer than a store that works takes for anything but a large snapshot, shorter than a leader may be silent.
constexpr std::chrono::milliseconds kSilence{3'000};
constexpr const char* kNoAnswer = "the store does not answer";

}  // namespace

Readiness::Readiness(AdminState& admin, metrics::MetricRegistry& registry, SchedulerMetrics& metrics,
                     const StoreWatch& store)
    : admin_(admin),
      leading_(metrics.leading),
      connected_(registry.MakeGauge("ferment_store_connected", "1 while the store answers, 0 after 3 s without.")),
      store_(store) {}

void Readiness::StandBy() {
  const MutexLock lock(mutex_);
  stage_ = "standing by";
  Show();
}

void Readiness::Begin(std::function<void(bool)> tell) {
  const MutexLock lock(mutex_);
  stage_.clear();
  Show();
  tell_ = std::move(tell);
  tell_(serves_);
}

void Readiness::End() {
  const MutexLock lock(mutex_);
  stage_ = "draining";
  Show();
  tell_ = nullptr;
}

void Readiness::Look() {
  const MutexLock lock(mutex_);
  const bool before = serves_;
  Show();
  if (serves_ == before) return;
  if (serves_) {
    LogInfo("coordinator.ready");
  } else {
    LogWarning("coordinator.unready", {{"why", kNoAnswer}, {"next", "ready once it does"}});
  }
}

void Readiness::Show() {
  const bool silent = store_.Silence() > kSilence;
  const bool serves = stage_.empty() && !silent;
  admin_.SetWhyNotServing(silent ? kNoAnswer : stage_);
  connected_.Set(store_.heard() && !silent ? 1 : 0);
  leading_.Set(serves ? 1 : 0);
  if (std::exchange(serves_, serves) != serves && tell_) tell_(serves);
}

}  // namespace ferment::coordinator
