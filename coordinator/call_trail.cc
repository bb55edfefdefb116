// SPDX-License-Identifier: Apache-2.0
#include "coordinator/call_trail.h"

#include "common/base/logging.h"
#include "coordinator/metrics/scheduler_metrics.h"

namespace ferment::coordinator {

CallTrail::CallTrail(const rpc::AccessPolicy& policy, metrics::MetricRegistry& registry,
                     std::unique_ptr<io::AuditLog> audit, std::function<void(const Status&)> on_failed)
    : registry_(registry),
      duration_(registry.MakeHistogram("ferment_rpc_server_duration_seconds", "How long unary calls took.",
                                       {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5})),
      connections_(registry.MakeGauge("ferment_rpc_server_connections", "Connections that are open.")),
      refused_full_(RejectedCounter(registry, "connections")),
      refused_peer_(RejectedCounter(registry, "connections_of_a_peer")),
      audit_(std::move(audit)),
      on_failed_(std::move(on_failed)) {
  for (const rpc::MethodAccess& method : policy.methods()) HandledOf(method.path.substr(1), StatusCode::kOk);
}

metrics::Counter& CallTrail::HandledOf(const std::string& method, StatusCode code) {
  const MutexLock lock(mutex_);
  metrics::Counter*& counter = handled_[{method, code}];
  if (counter == nullptr) {
    counter = &registry_.MakeCounter("ferment_rpc_server_handled_total",
                                     "Calls that were answered, by method and status code.",
                                     {{"method", method}, {"code", std::string(StatusCodeName(code))}});
  }
  return *counter;
}

void CallTrail::Take(const rpc::CallRecord& record) {
  HandledOf(record.method, record.outcome.code()).Increment();
  if (!record.stream && !record.refused) duration_.Observe(std::chrono::duration<double>(record.duration).count());
  if (record.flooding) return;
  if (record.refused) {
    LogWarning("rpc.refused", {{"method", record.method},
                               {"who", record.who},
                               {"role", record.role},
                               {"code", StatusCodeName(record.outcome.code())},
                               {"reason", record.outcome.message()}});
  }
  if (audit_ == nullptr || !(record.audited || record.refused)) return;
  EndIfFailed(audit_->Append(
      {record.who, record.role, record.method, record.run, std::string(StatusCodeName(record.outcome.code()))}));
}

void CallTrail::EndIfFailed(const Status& written) {
  if (!written.ok() && !failed_.exchange(true)) on_failed_(written.With("the audit log"));
}

void CallTrail::Rotate() {
  if (audit_) EndIfFailed(audit_->Rotate({"coordinator", "", "audit.rotated", "", "OK"}));
}

Status CallTrail::Close() {
  if (!audit_) return {};
  const Status synced = audit_->Sync();
  const io::AuditSummary summary = audit_->summary();
  LogInfo("audit.closed", {{"lines", summary.lines}, {"head", summary.head}, {"outcome", synced.ToString()}});
  return synced;
}

void CallTrail::Take(const rpc::ConnectionCounts& counts) {
  connections_.Set(counts.open);
  refused_full_.Add(static_cast<double>(counts.refused_full) - refused_full_.Value());
  refused_peer_.Add(static_cast<double>(counts.refused_peer) - refused_peer_.Value());
}

}  // namespace ferment::coordinator
