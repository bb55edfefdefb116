// SPDX-License-Identifier: Apache-2.0
//
// What becomes of what the gRPC server tells of its calls: metrics for all, a log line for refusals, and the audit log.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "common/io/audit_log.h"
#include "common/metrics/metric.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/call_record.h"
#include "common/rpc/connection_gate.h"

namespace ferment::coordinator {

/// Thread: any. Owns: the audit log; all else outlives it.
class CallTrail {
 public:
  /// `audit` may be null. `on_failed` is called once, when the audit log cannot be written: the process must end then,
  /// since what is not written down shall not be done.
  CallTrail(const rpc::AccessPolicy& policy, metrics::MetricRegistry& registry, std::unique_ptr<io::AuditLog> audit,
            std::function<void(const Status&)> on_failed);

  void Take(const rpc::CallRecord& record);
  /// Thread: the gate's.
  void Take(const rpc::ConnectionCounts& counts);
  /// Goes on in a new file where somebody moved the audit log away.
  void Rotate();
  /// The audit log's last words. Errors: those of AuditLog::Sync.
  Status Close();

 private:
  void EndIfFailed(const Status& written);
  metrics::Counter& HandledOf(const std::string& method, StatusCode code);

  metrics::MetricRegistry& registry_;
  /// Made already. To ask the registry for one costs more than the rest.
  Mutex mutex_;
  std::map<std::pair<std::string, StatusCode>, metrics::Counter*> handled_ FERMENT_GUARDED_BY(mutex_);
  metrics::Histogram& duration_;
  metrics::Gauge& connections_;
  metrics::Counter& refused_full_;
  metrics::Counter& refused_peer_;
  const std::unique_ptr<io::AuditLog> audit_;
  const std::function<void(const Status&)> on_failed_;
  std::atomic<bool> failed_{false};
};

}  // namespace ferment::coordinator
