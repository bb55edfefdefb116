// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's objects with owners, and what it says when it fails.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace ferment::rpc {

template <auto kFree>
struct OpensslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
/// Of certificates that are revoked (RFC 5280).
using RevocationList = std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>>;

/// Returns: the oldest error of this thread, and forgets all of them.
std::string TakeOpensslError();

/// The first certificate, or the key, of a PEM text. Errors: InvalidArgument without a word of the text.
Result<Certificate> ReadCertificate(std::string_view pem);
Result<PrivateKey> ReadPrivateKey(std::string_view pem);
/// All of a PEM text, at least one. Errors: as above; one of lists also where it has anything but lists.
Result<std::vector<Certificate>> ReadCertificates(std::string_view pem);
Result<std::vector<RevocationList>> ReadRevocationLists(std::string_view pem);

/// Returns: so many seconds after 1970; the first or last whole second that a WallTime holds, of 1677 and 2262, where
/// it is out of them: who is let in for ever has 9999.
WallTime WallTimeAt(std::time_t seconds);

/// Returns: nothing where there is none, or none that can be understood.
std::optional<WallTime> TimeOf(const ASN1_TIME* time);

}  // namespace ferment::rpc
