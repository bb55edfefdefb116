// SPDX-License-Identifier: Apache-2.0
//
// Tells who is calling: by the certificate of the connection, or by the bearer token of the call.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/rpc/credentials/revocation_file.h"
#include "common/rpc/credentials/token_file.h"

namespace ferment::rpc {

struct Caller {
  /// Unlike that of anybody else: "labeler", "labeler/gpu-7", or "token:ann".
  std::string who;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  /// The part behind the role in the certificate's URI, such as "gpu-7"; empty where it has none, and for tokens.
  std::string name;
};

/// The parts of spiffe://<trust>/ferment/<role>[/<name>]; `role` may be any word.
struct SpiffeName {
  std::string trust;
  std::string role;
  std::string name;
};
/// Errors: InvalidArgument.
Result<SpiffeName> ParseSpiffeName(std::string_view uri);

/// Returns: the trust domain of a coordinator's certificate, whose URI must be spiffe://<trust>/ferment/coordinator.
/// Errors: InvalidArgument with exit code 77.
Result<std::string> TrustDomainOf(std::string_view certificate_pem);

/// Thread: any.
class Authenticator {
 public:
  using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

  /// `tokens` may be null: certificates only; so may `revocations`: none is revoked. Owns both; the clock outlives
  /// this.
  Authenticator(std::string trust_domain, std::unique_ptr<TokenFile> tokens,
                std::unique_ptr<RevocationFile> revocations, const Clock& clock)
      : trust_domain_(std::move(trust_domain)),
        tokens_(std::move(tokens)),
        revocations_(std::move(revocations)),
        clock_(clock) {}

  bool TakesTokens() const { return tokens_ != nullptr; }
  /// A token goes before a certificate, and a wrong one is not made good by a certificate. Requires: the connection is
  /// TLS, its certificate was verified. Errors: Unauthenticated, without a word of the token.
  Result<Caller> Identify(const grpc::AuthContext& connection, const Metadata& metadata) const;
  /// Who has made a call that was let in, also where the certificate was revoked meanwhile. Requires, errors: as above.
  Result<Caller> WhoMade(const grpc::AuthContext& connection, const Metadata& metadata) const;

 private:
  Result<Caller> IdentifyToken(std::string_view authorization) const;
  Result<Caller> IdentifyCertificate(const grpc::AuthContext& connection) const;
  bool IsRevoked(const grpc::AuthContext& connection) const;

  const std::string trust_domain_;
  const std::unique_ptr<TokenFile> tokens_;
  const std::unique_ptr<RevocationFile> revocations_;
  const Clock& clock_;
};

}  // namespace ferment::rpc
