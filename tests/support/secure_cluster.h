// SPDX-License-Identifier: Apache-2.0
//
// A coordinator in this process with TLS, tokens, and all three of its services.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "tests/support/in_process_cluster.h"
#include "tests/support/test_certificates.h"

namespace ferment::testing {

inline constexpr const char* kServices[] = {"ferment.v1.RunService", "ferment.v1.LeaseService",
                                            "ferment.v1.TrainerService"};

/// Tokens: token-of-<role> for each role, and expired-<role>.
class SecureCluster {
 public:
  explicit SecureCluster(const std::string& name, std::chrono::milliseconds max_connection_age = std::chrono::hours(1))
      : certificates(std::filesystem::path(::testing::TempDir()) / name) {
    WriteTokens("");
    auto opened = rpc::ServerSecurity::Open(certificates.Server(), TokenFile(), SystemClock());
    FERMENT_CHECK(opened.has_value()) << opened.error().ToString();
    security_ = std::move(*opened);
    security_->refusals.burst = 1e6;  // every refusal is wanted as it is
    auto read = rpc::AccessPolicy::Read(kServices);
    FERMENT_CHECK(read.has_value()) << read.error().ToString();
    policy = std::move(*read);
    cluster.emplace(ClusterSecurity{security_.get(), &policy,
                                    [this](const rpc::CallRecord& record) {
                                      const MutexLock lock(mutex_);
                                      records_.push_back(record);
                                    },
                                    max_connection_age});
  }

  /// `more` are lines for further ones.
  void WriteTokens(const std::string& more) const {
    const auto now = std::chrono::system_clock::now();
    std::string text = more;
    for (const v1::Role role : rpc::AllRoles()) {
      const std::string name = rpc::RoleName(role);
      text += rpc::TokenLine({name, role, rpc::HashOfToken("token-of-" + name), now + std::chrono::hours(1)}) + "\n";
      text += rpc::TokenLine({"old-" + name, role, rpc::HashOfToken("expired-" + name), now - std::chrono::hours(1)}) +
              "\n";
    }
    const std::filesystem::path made = TokenFile().string() + ".new";
    std::ofstream(made) << text;
    std::filesystem::rename(made, TokenFile());
  }
  std::filesystem::path TokenFile() const { return certificates.folder() / "tokens"; }

  std::shared_ptr<grpc::Channel> Open(const rpc::CredentialPaths& paths) const {
    auto channel = rpc::OpenChannel(cluster->address(), paths);
    FERMENT_CHECK(channel.has_value()) << channel.error().ToString();
    return *channel;
  }
  /// Returns: whether a call of this one was told of.
  bool HasCalled(const std::string& who) const {
    const MutexLock lock(mutex_);
    return std::any_of(records_.rbegin(), records_.rend(), [&](const auto& record) { return record.who == who; });
  }
  std::vector<rpc::CallRecord> records() const {
    const MutexLock lock(mutex_);
    return records_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<rpc::CallRecord> records_ FERMENT_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::ServerSecurity> security_;

 public:
  TestCertificates certificates;
  rpc::AccessPolicy policy;
  std::optional<InProcessCluster> cluster;
};

}  // namespace ferment::testing
