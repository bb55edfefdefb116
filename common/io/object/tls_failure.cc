// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/tls_failure.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

#include <charconv>
#include <string_view>

namespace ferment::io {
namespace {

/// Returns: a number of <openssl/sslerr.h>; 0: the text holds none.
int ReasonIn(std::string_view text) {
  constexpr std::string_view kMark = "error:";
  const std::size_t mark = text.find(kMark);
  if (mark == std::string_view::npos) return 0;
  unsigned long code = 0;
  std::from_chars(text.data() + mark + kMark.size(), text.data() + text.size(), code, 16);
  return ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
}

}  // namespace

Status CertificateFailure(long verify_result, const std::string& text, const std::filesystem::path& ca_bundle) {
  switch (verify_result) {
    case X509_V_OK:
    case X509_V_ERR_UNSPECIFIED:
      return PermissionDeniedError("the server's certificate is for another host than the endpoint's: " + text);
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return PermissionDeniedError("the server's certificate is out of date, or this machine's clock is: " + text);
    default:
      return PermissionDeniedError("the server's certificate is not trusted: " + text +
                                   (ca_bundle.empty()
                                        ? "; the system's certificates are trusted, AWS_CA_BUNDLE=FILE names others"
                                        : "; trusted are those of AWS_CA_BUNDLE=" + ca_bundle.string()));
  }
}

Status HandshakeFailure(const std::string& text) {
  switch (ReasonIn(text)) {
    case SSL_R_WRONG_VERSION_NUMBER:
      return InvalidArgumentError("the server does not speak TLS, as https:// says: " + text);
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return PermissionDeniedError("the server offers no TLS that is safe enough, 1.2 or later: " + text);
    default:
      return UnavailableError(text);
  }
}

}  // namespace ferment::io
