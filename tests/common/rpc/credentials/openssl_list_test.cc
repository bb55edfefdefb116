// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "common/rpc/credentials/certificate_facts.h"
#include "common/rpc/credentials/revocation_list.h"
#include "common/rpc/grpc_channel.h"
#include "common/rpc/grpc_server.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "tests/support/test_certificates.h"

// The `openssl` command against our lists, and its lists against us: neither may only understand itself.
namespace ferment::rpc {
namespace {

namespace fs = std::filesystem;
using ferment::testing::FromHours;
using ferment::testing::TestCertificates;

class OpensslList : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("openssl version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no openssl command";
    fs::create_directories(folder_ / "db");
    std::ofstream(folder_ / "db/index.txt").flush();
    std::ofstream(folder_ / "db/number") << "1000\n";
    std::ofstream(folder_ / "ca.key") << certificates_.key().private_key;
    std::ofstream(folder_ / "ca.crt") << certificates_.authority();
    std::ofstream(folder_ / "ca.cnf")
        << "[ca]\ndefault_ca = ours\n[ours]\ndatabase = db/index.txt\ncrlnumber = db/number\n"
           "serial = db/serial\nnew_certs_dir = db\npolicy = any\nunique_subject = no\n"
           "default_md = sha256\ndefault_crl_days = 30\ncrl_extensions = of_list\n"
           "[any]\ncommonName = supplied\n[of_list]\nauthorityKeyIdentifier = keyid\n"
           "[authority]\nbasicConstraints = critical,CA:TRUE\n"
           "keyUsage = critical,keyCertSign,cRLSign\nsubjectKeyIdentifier = hash\n"
           "authorityKeyIdentifier = keyid\n[leaf]\nkeyUsage = critical,digitalSignature\n"
           "extendedKeyUsage = clientAuth\nauthorityKeyIdentifier = keyid\n"
           "subjectAltName = URI:spiffe://test.local/ferment/reader\n";
  }
  /// Runs it in the test's folder. Returns: its exit status; what it says is in openssl.txt.
  int Openssl(const std::string& arguments) const {
    return std::system(("cd " + folder_.string() + " && openssl " + arguments + " >openssl.txt 2>&1").c_str());
  }
  std::string Text(const std::string& file) const { return ReadCredential(folder_ / file).value_or("none: " + file); }
  void MakeList(const std::string& file) const {
    ASSERT_EQ(Openssl("ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.crt -out " + file), 0) << Text("openssl.txt");
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "openssl_list";
  TestCertificates certificates_{folder_};
};

TEST_F(OpensslList, IsReadByUs) {
  const auto stolen = certificates_.Client("labeler/stolen");
  const auto good = certificates_.Client("labeler");
  MakeList("empty.crl");
  const auto empty = RevocationLists::Read(Text("empty.crl"), certificates_.authority());
  ASSERT_TRUE(empty) << empty.error().message();
  EXPECT_EQ(empty->size(), 0U);
  ASSERT_EQ(
      Openssl(
          "ca -config ca.cnf -keyfile ca.key -cert ca.crt -crl_reason keyCompromise -revoke labeler-stolen/tls.crt"),
      0)
      << Text("openssl.txt");
  MakeList("ca.crl");
  const auto lists = RevocationLists::Read(Text("ca.crl"), certificates_.authority());
  ASSERT_TRUE(lists) << lists.error().message();
  EXPECT_TRUE(lists->RevokeAnyOf(ReadCredential(stolen.certificate).value()));
  EXPECT_FALSE(lists->RevokeAnyOf(ReadCredential(good.certificate).value()));
  ASSERT_TRUE(lists->next_update());
  EXPECT_GT(*lists->next_update(), FromHours(0, 29 * 24).until);
}

TEST_F(OpensslList, OfOursIsReadByIt) {
  certificates_.Revoke(certificates_.Client("labeler/stolen"));
  certificates_.Revoke(certificates_.Client("labeler/other"));
  certificates_.Client("labeler");
  EXPECT_EQ(Openssl("crl -in ca.crl -CAfile ca.crt -noout -text"), 0);
  EXPECT_THAT(Text("openssl.txt"), ::testing::HasSubstr("verify OK"));
  EXPECT_THAT(Text("openssl.txt"), ::testing::HasSubstr("Version 2"));
  EXPECT_THAT(Text("openssl.txt"), ::testing::ContainsRegex("X509v3 CRL Number: *\n *2\n"));
  const std::string verify = "verify -crl_check -CAfile ca.crt -CRLfile ca.crl ";
  EXPECT_EQ(Openssl(verify + "labeler/tls.crt"), 0) << Text("openssl.txt");
  EXPECT_NE(Openssl(verify + "labeler-stolen/tls.crt"), 0);
  EXPECT_THAT(Text("openssl.txt"), ::testing::HasSubstr("certificate revoked"));
  EXPECT_NE(Openssl(verify + "labeler-other/tls.crt"), 0);
}

TEST_F(OpensslList, OfChangesAloneIsRefused) {
  std::ofstream(folder_ / "ca.cnf", std::ios::app) << "[of_list]\n2.5.29.27 = critical,DER:02:01:01\n";
  MakeList("delta.crl");
  const auto lists = RevocationLists::Read(Text("delta.crl"), certificates_.authority());
  ASSERT_FALSE(lists);
  EXPECT_THAT(std::string(lists.error().message()), ::testing::HasSubstr("delta CRL"));
}

TEST_F(OpensslList, OfAPartOfTheCertificatesRevokesThose) {
  std::ofstream(folder_ / "ca.cnf", std::ios::app)
      << "[of_list]\nissuingDistributionPoint = critical,@part\n[part]\nonlyuser = TRUE\n";
  const auto stolen = certificates_.Client("labeler/stolen");
  ASSERT_EQ(Openssl("ca -config ca.cnf -keyfile ca.key -cert ca.crt -revoke labeler-stolen/tls.crt"), 0);
  MakeList("part.crl");
  const auto lists = RevocationLists::Read(Text("part.crl"), certificates_.authority());
  ASSERT_TRUE(lists) << lists.error().message();
  EXPECT_TRUE(lists->RevokeAnyOf(ReadCredential(stolen.certificate).value()));
}

/// A certificate below an authority of a second rank, which our own maker does not make.
TEST_F(OpensslList, OfAnAuthorityOfTheSecondRankRevokesThoseBelowIt) {
  // The first rank's own, whose authorities may have others below them.
  ASSERT_EQ(Openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=root -keyout "
                    "ca.key -out ca.crt "
                    "-addext keyUsage=critical,keyCertSign,cRLSign"),
            0)
      << Text("openssl.txt");
  const auto issue = [this](const std::string& name, const std::string& by, const std::string& section) {
    ASSERT_EQ(Openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name + " -keyout " + name +
                      ".key -out " + name + ".csr"),
              0)
        << Text("openssl.txt");
    ASSERT_EQ(Openssl("x509 -req -in " + name + ".csr -CA " + by + ".crt -CAkey " + by +
                      ".key -CAcreateserial -days 30 "
                      "-extfile ca.cnf -extensions " +
                      section + " -out " + name + ".crt"),
              0)
        << Text("openssl.txt");
  };
  issue("second", "ca", "authority");
  issue("client", "second", "leaf");
  std::ofstream(folder_ / "chain.crt") << Text("client.crt") << Text("second.crt");

  // The server's own certificate is of the other authority.
  CredentialPaths server = certificates_.Server();
  TestCertificates::Trust(server, certificates_.authority() + Text("ca.crt"));
  const CredentialPaths client = {folder_ / "chain.crt", folder_ / "client.key",
                                  certificates_.Client("reader").authorities};
  const auto call = [&] {
    const auto security = ServerSecurity::Open(server, {}, SystemClock());
    if (!security) return security.error();
    const char* const names[] = {"ferment.v1.RunService"};
    const AccessPolicy policy = AccessPolicy::Read(names).value();
    v1::RunService::Service service;
    grpc::Service* all[] = {&service};
    const auto running = GrpcServer::Start({.security = security->get(), .policy = &policy}, all).value();
    const auto stub = v1::RunService::NewStub(OpenChannel(running->address(), client).value());
    return CallUnary(*stub, &v1::RunService::Stub::GetRun, v1::GetRunRequest()).error();
  };
  EXPECT_EQ(call().code(), StatusCode::kUnimplemented) << "let in: " << call().ToString();
  ASSERT_EQ(Openssl("ca -config ca.cnf -keyfile ca.key -cert ca.crt -revoke second.crt"), 0) << Text("openssl.txt");
  MakeList("ca.crl");
  EXPECT_EQ(call().code(), StatusCode::kUnauthenticated) << call().ToString();
}

}  // namespace
}  // namespace ferment::rpc
