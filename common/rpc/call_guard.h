// SPDX-License-Identifier: Apache-2.0
//
// Turns calls away that nobody is permitted to make, before any service sees them.
#pragma once

#include <grpcpp/security/auth_metadata_processor.h>

#include <chrono>

#include "common/base/mutex.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/call_record.h"
#include "common/rpc/credentials/authenticator.h"

namespace ferment::rpc {

/// Wrong tokens that are answered one by one; past it they are only counted, so that guessing fills no log.
struct RefusalLimit {
  double burst = 20;
  double per_second = 2;
};

/// Asked by gRPC for every call on a port with TLS: unary, streaming, and methods that do not exist.
///
/// Errors: Unauthenticated (nobody can be told), PermissionDenied (the method is not for this role, or is not known),
/// ResourceExhausted (too many wrong credentials of late; a right one is taken even then). Thread: any.
class CallGuard final : public grpc::AuthMetadataProcessor {
 public:
  /// All outlive this.
  CallGuard(const AccessPolicy& policy, const Authenticator& authenticator, CallSink sink, const Clock& clock,
            RefusalLimit limit = {})
      : policy_(policy),
        authenticator_(authenticator),
        sink_(std::move(sink)),
        clock_(clock),
        limit_(limit),
        left_(limit.burst),
        filled_(clock.Now()) {}

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* connection, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  Status Decide(const MethodAccess* access, const Result<Caller>& caller) const;
  /// Returns: whether one more refusal may be told.
  bool TakeRefusal();

  // Constant after construction.
  const AccessPolicy& policy_;
  const Authenticator& authenticator_;
  const CallSink sink_;
  const Clock& clock_;
  const RefusalLimit limit_;
  // Under mutex_.
  Mutex mutex_;
  double left_ FERMENT_GUARDED_BY(mutex_);
  MonotonicTime filled_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::rpc
