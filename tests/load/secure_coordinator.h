// SPDX-License-Identifier: Apache-2.0
//
// What a loaded coordinator needs for TLS, tokens and an audit log, and those who may call it.
#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/rpc/credentials/token_file.h"
#include "common/rpc/grpc_channel.h"
#include "tests/support/test_certificates.h"

namespace ferment::load {

class SecureFiles {
 public:
  explicit SecureFiles(const std::filesystem::path& folder) : certificates(folder) {
    (void)certificates.Server();
    (void)certificates.Client("trainer");
    std::ofstream(Tokens()) << rpc::TokenLine({"ann", v1::ROLE_READER, rpc::HashOfToken("token-of-ann"), {}}) << "\n";
  }

  std::vector<std::string> Flags() const {
    const auto in = [this](const char* name) { return (certificates.folder() / name).string(); };
    return {"--tls-dir", in("coordinator"), "--trainer-tls-dir", in("trainer"),
            "--tokens",  Tokens(),          "--audit-file",      AuditLog()};
  }
  std::string Tokens() const { return (certificates.folder() / "tokens").string(); }
  std::string AuditLog() const { return (certificates.folder() / "audit.jsonl").string(); }
  std::string AuditText() const {
    std::ifstream in(AuditLog());
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  static std::shared_ptr<grpc::Channel> Open(const std::string& address, const rpc::CredentialPaths& paths) {
    auto channel = rpc::OpenChannel(address, paths);
    FERMENT_CHECK(channel.has_value()) << channel.error().ToString();
    return *channel;
  }

  testing::TestCertificates certificates;
};

}  // namespace ferment::load
