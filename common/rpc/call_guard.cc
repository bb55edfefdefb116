// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/call_guard.h"

#include <algorithm>

#include "common/rpc/grpc_status.h"

namespace ferment::rpc {
namespace {

std::string PathOf(const grpc::AuthMetadataProcessor::InputMetadata& metadata) {
  const auto path = metadata.find(":path");
  return path == metadata.end() ? std::string() : std::string(path->second.data(), path->second.size());
}

std::string NamesOf(const std::set<v1::Role>& roles) {
  std::string names;
  for (const v1::Role role : roles) names += (names.empty() ? "" : " or ") + RoleName(role);
  return names;
}

}  // namespace

Status CallGuard::Decide(const MethodAccess* access, const Result<Caller>& caller) const {
  if (!caller) return caller.error();
  if (access == nullptr) return PermissionDeniedError("no such method, for any role: who=" + caller->who);
  if (access->allow.count(caller->role) != 0) return {};
  return PermissionDeniedError("not permitted: method=" + access->path.substr(1) + " who=" + caller->who +
                               " role=" + RoleName(caller->role) + " wanted=" + NamesOf(access->allow));
}

grpc::Status CallGuard::Process(const InputMetadata& metadata, grpc::AuthContext* connection,
                                OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) {
  const MethodAccess* access = policy_.Find(PathOf(metadata));
  if (access != nullptr && access->open) return grpc::Status::OK;
  const Result<Caller> caller = authenticator_.Identify(*connection, metadata);
  Status outcome = Decide(access, caller);
  if (outcome.ok()) return grpc::Status::OK;
  CallRecord record{.method = access == nullptr ? "unknown" : access->path.substr(1), .refused = true};
  if (caller) {
    record.who = caller->who;
    record.role = RoleName(caller->role);
  }
  record.flooding = !TakeRefusal();
  if (record.flooding && !caller) {
    outcome = ResourceExhaustedError("too many wrong credentials of late; come back in a second");
  }
  record.outcome = outcome;
  if (sink_) sink_(record);
  return ToGrpc(outcome);
}

bool CallGuard::TakeRefusal() {
  const MonotonicTime now = clock_.Now();
  const MutexLock lock(mutex_);
  const std::chrono::duration<double> since = now - filled_;
  filled_ = now;
  left_ = std::min(limit_.burst, left_ + since.count() * limit_.per_second);
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

}  // namespace ferment::rpc
