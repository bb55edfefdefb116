// SPDX-License-Identifier: Apache-2.0
//
// Makes a certificate authority of one's own, the certificates that it vouches for, and the list of those that it took
// back: for development and tests.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::rpc {

/// PEM, each. A value; the key is a secret.
struct KeyAndCertificate {
  std::string private_key;
  std::string certificate;
};

struct Validity {
  std::chrono::system_clock::time_point from;
  std::chrono::system_clock::time_point until;
};

struct CertificateWish {
  std::string common_name;
  /// Such as spiffe://ferment.local/ferment/labeler; empty: none.
  std::string uri;
  /// DNS names and IP addresses under which a server is called; empty: for a client.
  std::vector<std::string> hosts;
  Validity validity;
};

/// Keys are on P-256. Errors: Internal with OpenSSL's words.
Result<KeyAndCertificate> MakeAuthority(const std::string& common_name, const Validity& validity);

/// A certificate with hosts is good for servers only, one without for clients only. Errors: InvalidArgument (authority
/// unreadable, or a host or URI that cannot stand in a certificate).
Result<KeyAndCertificate> IssueCertificate(const KeyAndCertificate& authority, const CertificateWish& wish);

/// Returns: the authority's list of revoked certificates in PEM, to be replaced by a newer one before `validity` ends:
/// what the former one had, which may be empty text, and these. Errors: InvalidArgument (authority or certificate
/// unreadable, or a former list that this authority has not signed).
Result<std::string> MakeRevocationList(const KeyAndCertificate& authority, std::string_view former,
                                       std::span<const std::string> certificates, const Validity& validity);

}  // namespace ferment::rpc
