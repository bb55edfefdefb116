// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/ca_bundle.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <string>

#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeParts {
  void operator()(STACK_OF(X509_INFO) * parts) const { sk_X509_INFO_pop_free(parts, X509_INFO_free); }
};

/// Never asks at the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return 0; }

}  // namespace

Status CheckCaBundle(const std::filesystem::path& file) {
  const auto text = ReadTextFile(file);
  if (!text) return text.error().With("the certificates to trust, AWS_CA_BUNDLE");
  const std::unique_ptr<BIO, FreeBio> bytes(
      BIO_new_mem_buf(text->data(), static_cast<int>(std::min<std::size_t>(text->size(), INT_MAX))));
  // The reader that libcurl's TLS takes the file with.
  const std::unique_ptr<STACK_OF(X509_INFO), FreeParts> parts(
      PEM_X509_INFO_read_bio(bytes.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  int certificates = 0;
  for (int i = 0; parts != nullptr && i < sk_X509_INFO_num(parts.get()); ++i) {
    if (sk_X509_INFO_value(parts.get(), i)->x509 != nullptr) ++certificates;
  }
  if (certificates > 0) return {};
  const std::string what = parts == nullptr ? "a part of it cannot be read" : "it has no certificate";
  return InvalidArgumentError("not certificates in PEM: AWS_CA_BUNDLE=" + file.string() +
                              " bytes=" + std::to_string(text->size()) + ": " + what);
}

}  // namespace ferment::io
