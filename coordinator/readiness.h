// SPDX-License-Identifier: Apache-2.0
//
// Whether this coordinator says that it serves: on the admin port, in its metrics and to gRPC's health checks.
#pragma once

#include <functional>
#include <string>

#include "common/base/mutex.h"
#include "coordinator/admin_routes.h"
#include "coordinator/metrics/scheduler_metrics.h"
#include "coordinator/store/store_watch.h"

namespace ferment::coordinator {

/// It serves from Begin to End, but not while its store owes an answer for 3 s: a coordinator that cannot ask its store
/// does not know whether another one leads.
///
/// Thread: any. The arguments outlive it.
class Readiness {
 public:
  Readiness(AdminState& admin, metrics::MetricRegistry& registry, SchedulerMetrics& metrics, const StoreWatch& store);
  void StandBy();
  /// `tell` is called with whether it serves, now and at each change, until End has returned.
  void Begin(std::function<void(bool)> tell);
  void End();
  /// Looks whether the store answers; for somebody to call a few times a second.
  void Look();

 private:
  void Show() FERMENT_REQUIRES(mutex_);

  AdminState& admin_;
  metrics::Gauge& leading_;
  metrics::Gauge& connected_;
  const StoreWatch& store_;
  Mutex mutex_;
  /// Why it does not serve, apart from the store; empty: it does.
  std::string stage_ FERMENT_GUARDED_BY(mutex_) = "starting";
  bool serves_ FERMENT_GUARDED_BY(mutex_) = false;
  std::function<void(bool)> tell_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::coordinator
