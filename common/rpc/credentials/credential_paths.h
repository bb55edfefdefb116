// SPDX-License-Identifier: Apache-2.0
//
// Where the certificates and the token of a program lie: paths only, never the secrets themselves.
#pragma once

#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace ferment::rpc {

/// What a person says; empty: not said.
struct CredentialFlags {
  /// A folder with ca.crt and, for a program that has its own certificate, tls.crt and tls.key; ca.crl where
  /// certificates are revoked.
  std::string tls_dir = {};
  std::string tls_cert = {};
  std::string tls_key = {};
  std::string tls_ca = {};
  std::string tls_crl = {};
  /// One line, sent as bearer token.
  std::string token_file = {};
};

/// The environment variables of the flags, in their order: FERMENT_TLS_DIR, _CERT, _KEY, _CA, _CRL and
/// FERMENT_TOKEN_FILE.
CredentialFlags CredentialFlagsOfEnvironment();

/// A value. All empty: no TLS.
struct CredentialPaths {
  std::filesystem::path certificate = {};
  std::filesystem::path private_key = {};
  std::filesystem::path authorities = {};
  std::filesystem::path token = {};
  /// Lists of revoked certificates, signed by `authorities`; empty: nobody looks for any.
  std::filesystem::path revocations = {};
  /// They were asked for by name; else there may be no such file, until somebody is revoked.
  bool revocations_wanted = false;

  bool UseTls() const { return !authorities.empty(); }
  bool HaveCertificate() const { return !certificate.empty(); }
};

/// Errors: InvalidArgument with exit code 2 (a certificate without its key, certificate or lists without the
/// authorities to trust, or a token without TLS, which would be sent in the clear).
Result<CredentialPaths> ResolveCredentials(const CredentialFlags& flags);

/// Reads all that `paths` names; its own certificate must not have expired and not be revoked. Errors: NotFound,
/// PermissionDenied or InvalidArgument with exit code 77, naming the file and nothing of what is in it.
Status CheckCredentials(const CredentialPaths& paths);

/// Returns: the file's text. Errors: those of CheckCredentials.
Result<std::string> ReadCredential(const std::filesystem::path& file);
/// Returns: the token, without the end of its line. Errors: those of CheckCredentials.
Result<std::string> ReadToken(const std::filesystem::path& file);

}  // namespace ferment::rpc
