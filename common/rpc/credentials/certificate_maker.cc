// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/certificate_maker.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>

#include "common/rpc/credentials/openssl_objects.h"

namespace ferment::rpc {
namespace {

using Extension = std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>;
using Number = std::unique_ptr<ASN1_INTEGER, OpensslFree<ASN1_INTEGER_free>>;
using Time = std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>>;

Status OpensslFailed(const char* what) { return InternalError(std::string(what) + ": " + TakeOpensslError()); }

std::string TextOf(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<KeyAndCertificate> ToPem(EVP_PKEY& key, X509& certificate) {
  const Bio key_text(BIO_new(BIO_s_mem()));
  const Bio certificate_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(key_text.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate_text.get(), &certificate) != 1) {
    return Fail(OpensslFailed("writing a certificate"));
  }
  return KeyAndCertificate{TextOf(*key_text), TextOf(*certificate_text)};
}

bool SetTimes(X509& certificate, const Validity& validity) {
  const auto seconds = [](std::chrono::system_clock::time_point time) {
    return std::chrono::system_clock::to_time_t(time);
  };
  return ASN1_TIME_set(X509_getm_notBefore(&certificate), seconds(validity.from)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(&certificate), seconds(validity.until)) != nullptr;
}

bool SetSerial(X509& certificate) {
  // Positive and 127 bits of chance, so that no authority gives one number twice.
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] &= 0x7f;
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> number(
      BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr;
}

Status AddExtension(X509& certificate, X509& issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(&certificate, extension.get(), -1) != 1) {
    return InvalidArgumentError("this cannot stand in a certificate: value=" + value + " (" + TakeOpensslError() + ")");
  }
  return {};
}

/// Returns: an unsigned certificate for `key`.
Result<Certificate> Draft(const std::string& common_name, const Validity& validity, EVP_PKEY& key) {
  Certificate certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), X509_VERSION_3) != 1 || !SetSerial(*certificate) ||
      !SetTimes(*certificate, validity) || X509_set_pubkey(certificate.get(), &key) != 1) {
    return Fail(OpensslFailed("making a certificate"));
  }
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.c_str());
  if (X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8, text, -1, -1, 0) != 1) {
    return Fail(InvalidArgumentError("not a name for a certificate: name=" + common_name));
  }
  return certificate;
}

bool IsAddress(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

Result<std::string> AlternativeNames(const CertificateWish& wish) {
  std::string names;
  const auto add = [&names](const std::string& kind, const std::string& value) {
    names += (names.empty() ? "" : ",") + kind + ":" + value;
  };
  if (!wish.uri.empty()) add("URI", wish.uri);
  for (const std::string& host : wish.hosts) add(IsAddress(host) ? "IP" : "DNS", host);
  // A comma would begin another name.
  for (const std::string& host : wish.hosts) {
    if (host.empty() || host.find_first_of(", :") != std::string::npos) {
      if (!IsAddress(host)) return Fail(InvalidArgumentError("not a host name or address: host=" + host));
    }
  }
  if (wish.uri.find_first_of(", ") != std::string::npos) {
    return Fail(InvalidArgumentError("not a URI for a certificate: uri=" + wish.uri));
  }
  return names;
}

Time TimeAt(std::chrono::system_clock::time_point time) {
  return Time(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(time)));
}

/// Returns: an empty list with the extensions that RFC 5280 wants of each, but for its number.
Result<RevocationList> DraftList(X509& issuer) {
  RevocationList list(X509_CRL_new());
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, nullptr, nullptr, list.get(), 0);
  const Extension key(X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  if (list && X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1 && key &&
      X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(&issuer)) == 1 &&
      X509_CRL_add_ext(list.get(), key.get(), -1) == 1) {
    return list;
  }
  return Fail(OpensslFailed("making a revocation list"));
}

Result<RevocationList> ReadFormerList(std::string_view former, EVP_PKEY& issuer_key) {
  FERMENT_ASSIGN_OR_RETURN(auto lists, ReadRevocationLists(former));
  if (lists.size() == 1 && X509_CRL_verify(lists.front().get(), &issuer_key) == 1) return std::move(lists.front());
  TakeOpensslError();
  return Fail(
      InvalidArgumentError("not one list that this authority has signed: lists=" + std::to_string(lists.size())));
}

/// One higher than that of the list of before.
bool SetNumber(X509_CRL& list) {
  const Number former(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(&list, NID_crl_number, nullptr, nullptr)));
  const std::unique_ptr<BIGNUM, OpensslFree<BN_free>> value(former ? ASN1_INTEGER_to_BN(former.get(), nullptr)
                                                                   : BN_new());
  if (!value || BN_add_word(value.get(), 1) != 1) return false;
  const Number number(BN_to_ASN1_INTEGER(value.get(), nullptr));
  return number && X509_CRL_add1_ext_i2d(&list, NID_crl_number, number.get(), 0, X509V3_ADD_REPLACE) == 1;
}

bool Revoke(X509_CRL& list, X509& certificate, const ASN1_TIME& time) {
  X509_REVOKED* known = nullptr;
  if (X509_CRL_get0_by_cert(&list, &known, &certificate) == 1) return true;
  std::unique_ptr<X509_REVOKED, OpensslFree<X509_REVOKED_free>> entry(X509_REVOKED_new());
  auto* date = const_cast<ASN1_TIME*>(&time);  // OpenSSL copies it
  if (!entry || X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(&certificate)) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), date) != 1 || X509_CRL_add0_revoked(&list, entry.get()) != 1) {
    return false;
  }
  entry.release();
  return true;
}

}  // namespace

Result<KeyAndCertificate> MakeAuthority(const std::string& common_name, const Validity& validity) {
  const PrivateKey key(EVP_EC_gen("P-256"));
  if (!key) return Fail(OpensslFailed("making a key"));
  FERMENT_ASSIGN_OR_RETURN(const Certificate certificate, Draft(common_name, validity, *key));
  X509& self = *certificate;
  X509_set_issuer_name(&self, X509_get_subject_name(&self));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, self, NID_subject_key_identifier, "hash"));
  if (X509_sign(&self, key.get(), EVP_sha256()) == 0) return Fail(OpensslFailed("signing a certificate"));
  return ToPem(*key, self);
}

Result<KeyAndCertificate> IssueCertificate(const KeyAndCertificate& authority, const CertificateWish& wish) {
  FERMENT_ASSIGN_OR_RETURN(const Certificate issuer, ReadCertificate(authority.certificate));
  FERMENT_ASSIGN_OR_RETURN(const PrivateKey issuer_key, ReadPrivateKey(authority.private_key));
  FERMENT_ASSIGN_OR_RETURN(const std::string names, AlternativeNames(wish));
  const PrivateKey key(EVP_EC_gen("P-256"));
  if (!key) return Fail(OpensslFailed("making a key"));
  FERMENT_ASSIGN_OR_RETURN(const Certificate certificate, Draft(wish.common_name, wish.validity, *key));
  X509& self = *certificate;
  X509_set_issuer_name(&self, X509_get_subject_name(issuer.get()));
  const char* purpose = wish.hosts.empty() ? "clientAuth" : "serverAuth";
  FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_basic_constraints, "critical,CA:FALSE"));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_key_usage, "critical,digitalSignature"));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_ext_key_usage, purpose));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_subject_key_identifier, "hash"));
  FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_authority_key_identifier, "keyid"));
  if (!names.empty()) FERMENT_RETURN_IF_ERROR(AddExtension(self, *issuer, NID_subject_alt_name, names));
  if (X509_sign(&self, issuer_key.get(), EVP_sha256()) == 0) return Fail(OpensslFailed("signing a certificate"));
  return ToPem(*key, self);
}

Result<std::string> MakeRevocationList(const KeyAndCertificate& authority, std::string_view former,
                                       std::span<const std::string> certificates, const Validity& validity) {
  FERMENT_ASSIGN_OR_RETURN(const Certificate issuer, ReadCertificate(authority.certificate));
  FERMENT_ASSIGN_OR_RETURN(const PrivateKey key, ReadPrivateKey(authority.private_key));
  FERMENT_ASSIGN_OR_RETURN(const RevocationList list,
                           former.empty() ? DraftList(*issuer) : ReadFormerList(former, *key));
  const Time from = TimeAt(validity.from);
  const Time until = TimeAt(validity.until);
  if (!from || !until || X509_CRL_set1_lastUpdate(list.get(), from.get()) != 1 ||
      X509_CRL_set1_nextUpdate(list.get(), until.get()) != 1 || !SetNumber(*list)) {
    return Fail(OpensslFailed("dating a revocation list"));
  }
  for (const std::string& one : certificates) {
    FERMENT_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(one));
    if (X509_check_issued(issuer.get(), certificate.get()) != X509_V_OK) {
      return Fail(InvalidArgumentError("a certificate of another authority cannot be revoked by this one"));
    }
    if (!Revoke(*list, *certificate, *from)) return Fail(OpensslFailed("revoking a certificate"));
  }
  const Bio text(BIO_new(BIO_s_mem()));
  if (X509_CRL_sort(list.get()) != 1 || X509_CRL_sign(list.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_CRL(text.get(), list.get()) != 1) {
    return Fail(OpensslFailed("signing a revocation list"));
  }
  return TextOf(*text);
}

}  // namespace ferment::rpc
