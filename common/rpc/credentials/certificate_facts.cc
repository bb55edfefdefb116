// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/certificate_facts.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include "common/rpc/credentials/openssl_objects.h"

namespace ferment::rpc {
namespace {

using AlternativeNames = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;

std::string TextOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string HexOf(const ASN1_INTEGER* number) {
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> value(ASN1_INTEGER_to_BN(number, nullptr));
  char* text = value ? BN_bn2hex(value.get()) : nullptr;
  std::string hex = text == nullptr ? "" : text;
  OPENSSL_free(text);
  return hex;
}

std::string AddressOf(const ASN1_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  const bool whole = family == AF_INET || ASN1_STRING_length(bytes) == 16;
  const bool good = whole && inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof text) != nullptr;
  return good ? text : "";
}

}  // namespace

Result<CertificateFacts> ReadCertificateFacts(std::string_view pem) {
  FERMENT_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pem));
  CertificateFacts facts;
  const auto expires = TimeOf(X509_get0_notAfter(certificate.get()));
  if (!expires) return Fail(InvalidArgumentError("a certificate without an end (" + TakeOpensslError() + ")"));
  facts.expires = *expires;
  facts.serial = HexOf(X509_get0_serialNumber(certificate.get()));
  const AlternativeNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  int uris = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) facts.uri = ++uris == 1 ? TextOf(name->d.uniformResourceIdentifier) : "";
    if (name->type == GEN_DNS) facts.hosts.push_back(TextOf(name->d.dNSName));
    if (name->type == GEN_IPADD) facts.hosts.push_back(AddressOf(name->d.iPAddress));
  }
  return facts;
}

}  // namespace ferment::rpc
