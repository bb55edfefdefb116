// SPDX-License-Identifier: Apache-2.0
//
// Certificates of a test's own authority, and of authorities and times that nobody should trust.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/io/secret_folder.h"
#include "common/rpc/credentials/certificate_maker.h"
#include "common/rpc/credentials/credential_paths.h"

namespace ferment::testing {

inline rpc::Validity FromHours(int from, int until) {
  const auto now = std::chrono::system_clock::now();
  return {now + std::chrono::hours(from), now + std::chrono::hours(until)};
}

/// A folder with certificates by one authority. Requires: OpenSSL works; ends the process where it does not.
class TestCertificates {
 public:
  explicit TestCertificates(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    NewAuthority();
  }

  /// Makes certificates from now on by another one; what is trusted is told by Issue's `trusted`.
  void NewAuthority() { UseAuthority(MakeAuthority()); }
  /// Another one, which makes nothing before UseAuthority.
  static rpc::KeyAndCertificate MakeAuthority() { return Value(rpc::MakeAuthority("test CA", FromHours(-1, 24))); }
  void UseAuthority(rpc::KeyAndCertificate authority) {
    authority_ = std::move(authority);
    revocations_.clear();
  }
  const rpc::KeyAndCertificate& key() const { return authority_; }
  const std::string& authority() const { return authority_.certificate; }

  /// Writes or replaces the folder `name` with a certificate for `uri`; `hosts` makes it a server's. Returns: its
  /// paths.
  rpc::CredentialPaths Issue(const std::string& name, const std::string& uri,
                             const std::vector<std::string>& hosts = {},
                             const rpc::Validity& validity = FromHours(-1, 24), const std::string& trusted = "") const {
    const auto own = Value(
        rpc::IssueCertificate(authority_, {.common_name = name, .uri = uri, .hosts = hosts, .validity = validity}));
    const Status written =
        io::ReplaceSecretFolder(folder_ / name, {{"tls.crt", own.certificate},
                                                 {"tls.key", own.private_key},
                                                 {"ca.crt", trusted.empty() ? authority_.certificate : trusted}});
    FERMENT_CHECK(written.ok()) << written.ToString();
    return Paths(name);
  }
  rpc::CredentialPaths Server() const {
    rpc::CredentialPaths paths = Issue("coordinator", Uri("coordinator"), {"localhost", "127.0.0.1"});
    paths.revocations = RevocationFile();
    return paths;
  }
  rpc::CredentialPaths Client(const std::string& who) const {
    std::string name = who;
    for (char& letter : name) letter = letter == '/' ? '-' : letter;
    return Issue(name, Uri(who));
  }
  rpc::CredentialPaths Paths(const std::string& name) const {
    return {folder_ / name / "tls.crt", folder_ / name / "tls.key", folder_ / name / "ca.crt", {}};
  }
  /// The authority to trust, and no certificate of one's own; with a token, if one is given.
  rpc::CredentialPaths TrustOnly(const std::string& token = "") const {
    rpc::CredentialPaths paths{{}, {}, folder_ / "trusted.crt", {}};
    std::ofstream(paths.authorities) << authority_.certificate;
    if (token.empty()) return paths;
    paths.token = folder_ / ("token-" + token.substr(0, 8));
    std::ofstream(paths.token) << token << "\n";
    return paths;
  }
  /// Has the bearer of `paths` trust these authorities from now on, by a file in the place of the old one.
  static void Trust(const rpc::CredentialPaths& paths, const std::string& authorities) {
    const std::filesystem::path made = paths.authorities.string() + ".new";
    std::ofstream(made) << authorities;
    std::filesystem::rename(made, paths.authorities);
  }
  /// Puts the certificate that the bearer of `paths` has now on the authority's list, and that into RevocationFile.
  void Revoke(const rpc::CredentialPaths& paths, const rpc::Validity& validity = FromHours(-1, 24)) {
    const std::string certificate = Value(rpc::ReadCredential(paths.certificate));
    revocations_ = Value(rpc::MakeRevocationList(authority_, revocations_, {&certificate, 1}, validity));
    PutRevocations(revocations_);
  }
  /// A file of this text in the place of the list.
  void PutRevocations(const std::string& text) const {
    const std::filesystem::path made = RevocationFile().string() + ".new";
    std::ofstream(made) << text;
    std::filesystem::rename(made, RevocationFile());
  }
  /// Where Server() looks for a list; there is none until somebody is revoked.
  std::filesystem::path RevocationFile() const { return folder_ / "ca.crl"; }
  static std::string Uri(const std::string& who) { return "spiffe://test.local/ferment/" + who; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  template <typename T>
  static T Value(Result<T> result) {
    FERMENT_CHECK(result.has_value()) << result.error().ToString();
    return std::move(*result);
  }

  const std::filesystem::path folder_;
  rpc::KeyAndCertificate authority_;
  std::string revocations_;
};

}  // namespace ferment::testing
