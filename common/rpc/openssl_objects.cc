// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/openssl_objects.h"

#include <openssl/err.h>
#include <openssl/pem.h>

namespace ferment::rpc {
namespace {

Bio BioOf(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

/// Never asks at the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return 0; }

}  // namespace

std::string TakeOpensslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "OpenSSL failed";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

Result<Certificate> ReadCertificate(std::string_view pem) {
  Certificate certificate(PEM_read_bio_X509(BioOf(pem).get(), nullptr, NoPassword, nullptr));
  if (certificate) return certificate;
  return Fail(InvalidArgumentError("not a certificate in PEM (" + TakeOpensslError() + ")"));
}

Result<PrivateKey> ReadPrivateKey(std::string_view pem) {
  PrivateKey key(PEM_read_bio_PrivateKey(BioOf(pem).get(), nullptr, NoPassword, nullptr));
  if (key) return key;
  return Fail(InvalidArgumentError("not a private key in PEM without a password (" + TakeOpensslError() + ")"));
}

}  // namespace ferment::rpc
