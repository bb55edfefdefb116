// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's objects with owners, and what it says when it fails.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

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

/// Returns: the oldest error of this thread, and forgets all of them.
std::string TakeOpensslError();

/// The first certificate, or the key, of a PEM text. Errors: InvalidArgument without a word of the text.
Result<Certificate> ReadCertificate(std::string_view pem);
Result<PrivateKey> ReadPrivateKey(std::string_view pem);

}  // namespace ferment::rpc
