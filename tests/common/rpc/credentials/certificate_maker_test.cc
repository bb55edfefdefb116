// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/certificate_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "common/rpc/credentials/openssl_objects.h"

namespace ferment::rpc {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Validity AnHour() { return {std::chrono::system_clock::now() - 1min, std::chrono::system_clock::now() + 1h}; }

/// Returns: X509_V_OK, or why OpenSSL does not trust it.
int VerifyFor(const KeyAndCertificate& leaf, const KeyAndCertificate& authority, int purpose, const char* host) {
  const auto root = ReadCertificate(authority.certificate);
  const auto certificate = ReadCertificate(leaf.certificate);
  const std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>> store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), root->get());
  const std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificate->get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  if (host != nullptr) X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context.get()), host, 0);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

TEST(CertificateMaker, IssuesForServersAndForClientsApart) {
  const auto authority = MakeAuthority("test CA", AnHour());
  ASSERT_TRUE(authority) << authority.error().message();
  const auto server =
      IssueCertificate(*authority, {"server", "spiffe://t/ferment/coordinator", {"localhost", "::1"}, AnHour()});
  ASSERT_TRUE(server) << server.error().message();
  EXPECT_EQ(VerifyFor(*server, *authority, X509_PURPOSE_SSL_SERVER, "localhost"), X509_V_OK);
  EXPECT_EQ(VerifyFor(*server, *authority, X509_PURPOSE_SSL_SERVER, "elsewhere"), X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(VerifyFor(*server, *authority, X509_PURPOSE_SSL_CLIENT, nullptr), X509_V_ERR_INVALID_PURPOSE);
  const auto client = IssueCertificate(*authority, {"client", "spiffe://t/ferment/labeler", {}, AnHour()});
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_EQ(VerifyFor(*client, *authority, X509_PURPOSE_SSL_CLIENT, nullptr), X509_V_OK);
  EXPECT_EQ(VerifyFor(*client, *authority, X509_PURPOSE_SSL_SERVER, nullptr), X509_V_ERR_INVALID_PURPOSE);
}

TEST(CertificateMaker, IsNotTrustedUnderAnotherAuthorityOrOutOfTime) {
  const auto authority = MakeAuthority("test CA", AnHour());
  const auto other = MakeAuthority("test CA", AnHour());
  ASSERT_TRUE(authority && other);
  const auto client = IssueCertificate(*authority, {"client", "", {}, AnHour()});
  ASSERT_TRUE(client);
  EXPECT_NE(VerifyFor(*client, *other, X509_PURPOSE_SSL_CLIENT, nullptr), X509_V_OK);
  const auto now = std::chrono::system_clock::now();
  const auto expired = IssueCertificate(*authority, {"client", "", {}, {now - 2h, now - 1h}});
  ASSERT_TRUE(expired);
  EXPECT_EQ(VerifyFor(*expired, *authority, X509_PURPOSE_SSL_CLIENT, nullptr), X509_V_ERR_CERT_HAS_EXPIRED);
}

TEST(CertificateMaker, RefusesNamesThatWouldBeMoreThanOne) {
  const auto authority = MakeAuthority("test CA", AnHour());
  ASSERT_TRUE(authority);
  for (const char* host : {"", "a,DNS:bank.example", "a b", "DNS:a"}) {
    const auto certificate = IssueCertificate(*authority, {"server", "", {host}, AnHour()});
    ASSERT_FALSE(certificate) << host;
    EXPECT_THAT(std::string(certificate.error().message()), HasSubstr("host="));
  }
  EXPECT_FALSE(IssueCertificate(*authority, {"client", "spiffe://t/a,DNS:bank.example", {}, AnHour()}));
}

TEST(CertificateMaker, NamesNoSecretWhenAnAuthorityIsUnreadable) {
  const auto certificate = IssueCertificate({"canary-secret", "canary-secret"}, {"client", "", {}, AnHour()});
  ASSERT_FALSE(certificate);
  EXPECT_THAT(std::string(certificate.error().message()), testing::Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace ferment::rpc
