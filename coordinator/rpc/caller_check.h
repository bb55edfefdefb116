// SPDX-License-Identifier: Apache-2.0
//
// What a role alone does not tell: whether a labeler is the one that registered, and a trainer of the run that it
// names.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

#include "common/rpc/credentials/authenticator.h"

namespace ferment::coordinator {

/// Without an authenticator, on a server without TLS, everything is permitted and names stay as they are.
///
/// A labeler that registers as "w1" with the certificate labeler/gpu-7 is "w1@labeler/gpu-7" to the scheduler, and so
/// in the event log: its id tells for ever whose it is. Thread: any.
class CallerCheck {
 public:
  /// May be null; outlives this.
  explicit CallerCheck(const rpc::Authenticator* authenticator) : authenticator_(authenticator) {}

  bool enabled() const { return authenticator_ != nullptr; }
  /// Whether the caller of a call that goes on still counts. Errors: Unauthenticated (the token was struck out or has
  /// expired, or the certificate was revoked).
  Status StillKnown(const grpc::ServerContextBase& context) const;
  /// Returns: the name under which the scheduler shall know this labeler. Errors: Unauthenticated; InvalidArgument (a
  /// name with @ or /, or an incarnation with /).
  Result<std::string> LabelerName(const grpc::ServerContextBase& context, const std::string& name,
                                  const std::string& incarnation) const;
  /// Errors: PermissionDenied where the labeler id is somebody else's, InvalidArgument where it is empty.
  Status OwnsLabeler(const grpc::ServerContextBase& context, const std::string& labeler_id) const;
  /// Errors: PermissionDenied where the caller's certificate is for another run.
  Status MayTouchRun(const grpc::ServerContextBase& context, const std::string& run_id) const;

 private:
  Result<rpc::Caller> CallerOf(const grpc::ServerContextBase& context) const;

  const rpc::Authenticator* const authenticator_;
};

}  // namespace ferment::coordinator
