// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/authenticator.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "common/rpc/access_policy.h"
#include "common/rpc/credentials/certificate_facts.h"

namespace ferment::rpc {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::string_view kProgram = "/ferment/";
constexpr std::string_view kBearer = "bearer ";

constexpr char kCoordinator[] = "coordinator";

/// Of an authorization. Schemes are named in any case (RFC 9110, 11.1).
bool IsBearer(std::string_view authorization) {
  const std::string_view scheme = authorization.substr(0, kBearer.size());
  const auto same = [](char one, char other) { return std::tolower(static_cast<unsigned char>(one)) == other; };
  return std::equal(scheme.begin(), scheme.end(), kBearer.begin(), kBearer.end(), same);
}

tl::unexpected<Status> Unauthenticated(std::string message) {
  return Fail(Status(StatusCode::kUnauthenticated, std::move(message)));
}

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

}  // namespace

Result<SpiffeName> ParseSpiffeName(std::string_view uri) {
  const auto malformed = [uri] {
    return Fail(InvalidArgumentError("not of the form spiffe://TRUST/ferment/ROLE[/NAME]: uri=" + std::string(uri)));
  };
  if (!uri.starts_with(kScheme)) return malformed();
  const std::string_view rest = uri.substr(kScheme.size());
  const std::size_t path = rest.find('/');
  if (path == 0 || path == std::string_view::npos || !rest.substr(path).starts_with(kProgram)) return malformed();
  const std::string_view words = rest.substr(path + kProgram.size());
  const std::size_t slash = words.find('/');
  SpiffeName name{std::string(rest.substr(0, path)), std::string(words.substr(0, slash)), {}};
  if (slash != std::string_view::npos) name.name = words.substr(slash + 1);
  const bool named = slash == std::string_view::npos || !name.name.empty();
  if (name.role.empty() || !named || name.name.find_first_of("/@") != std::string::npos) return malformed();
  return name;
}

Result<std::string> TrustDomainOf(std::string_view certificate_pem) {
  FERMENT_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificateFacts(certificate_pem));
  const auto name = ParseSpiffeName(facts.uri);
  if (name && name->role == kCoordinator) return name->trust;
  return Fail(
      InvalidArgumentError("a coordinator's certificate must have the one URI spiffe://TRUST/ferment/coordinator, "
                           "which says whose roles it takes: uri=" +
                           facts.uri)
          .WithExitCode(exit_code::kNotAllowed));
}

Result<Caller> Authenticator::Identify(const grpc::AuthContext& connection, const Metadata& metadata) const {
  auto caller = WhoMade(connection, metadata);
  const bool by_certificate = metadata.count("authorization") == 0;
  if (!caller || !by_certificate || !IsRevoked(connection)) return caller;
  return Unauthenticated("this certificate has been revoked: who=" + caller->who);
}

bool Authenticator::IsRevoked(const grpc::AuthContext& connection) const {
  if (revocations_ == nullptr) return false;
  // The one that names the caller, and those between it and an authority of ours, where it showed any.
  for (const char* certificates : {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    for (const grpc::string_ref& text : connection.FindPropertyValues(certificates)) {
      if (!text.empty() && revocations_->RevokeAnyOf(View(text))) return true;
    }
  }
  return false;
}

Result<Caller> Authenticator::WhoMade(const grpc::AuthContext& connection, const Metadata& metadata) const {
  std::optional<std::string_view> authorization;
  for (auto [one, end] = metadata.equal_range("authorization"); one != end; ++one) {
    if (authorization) return Unauthenticated("more than one authorization");
    authorization = View(one->second);
  }
  return authorization ? IdentifyToken(*authorization) : IdentifyCertificate(connection);
}

Result<Caller> Authenticator::IdentifyToken(std::string_view authorization) const {
  if (tokens_ == nullptr) return Unauthenticated("this coordinator takes certificates, no tokens");
  if (!IsBearer(authorization)) return Unauthenticated("not a bearer token");
  const auto entry = tokens_->Find(authorization.substr(kBearer.size()));
  if (!entry) return Unauthenticated("not a token that is known here");
  if (entry->expires && *entry->expires <= clock_.WallNow()) {
    return Unauthenticated("this token has expired: name=" + entry->name + " expired=" + FormatUtc(*entry->expires));
  }
  return Caller{"token:" + entry->name, entry->role, {}};
}

Result<Caller> Authenticator::IdentifyCertificate(const grpc::AuthContext& connection) const {
  if (connection.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME).empty()) {
    return Unauthenticated(tokens_ == nullptr ? "no client certificate" : "neither a client certificate nor a token");
  }
  const auto ids = connection.FindPropertyValues(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME);
  if (ids.size() != 1) return Unauthenticated("the certificate has no SPIFFE id: spiffe://TRUST/ferment/ROLE");
  const auto name = ParseSpiffeName(View(ids.front()));
  if (!name) return Unauthenticated(std::string(name.error().message()));
  if (name->trust != trust_domain_) {
    return Unauthenticated("a certificate of another trust domain: trust=" + name->trust + " ours=" + trust_domain_);
  }
  const v1::Role role = RoleNamed(name->role);
  if (role == v1::ROLE_UNSPECIFIED) return Unauthenticated("a certificate of no role that calls: role=" + name->role);
  return Caller{name->name.empty() ? name->role : name->role + "/" + name->name, role, name->name};
}

}  // namespace ferment::rpc
