// SPDX-License-Identifier: Apache-2.0
//
// What a coordinator is for, as a load: the 64 labelers of T6.1.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/load.h"
#include "bench/load_client.h"

namespace ferment::load {

inline constexpr int kLabelers = 64;
// Of all labelers: 500 commits with the next lease, and a renewal each.
inline constexpr double kCommitsASecond = 500;
inline constexpr double kCallsASecond = kCommitsASecond + kLabelers;
inline constexpr int kCallsToARenewal = static_cast<int>(kCallsASecond) / kLabelers;

/// 64 labelers that commit, lease and renew in the background, and come back after whatever sends them away.
class Labelers {
 public:
  using Open = std::function<std::shared_ptr<grpc::Channel>(int number)>;

  /// Throws std::runtime_error where one cannot register.
  explicit Labelers(const Open& open, const rpc::CallOptions& calls = {.deadline = std::chrono::seconds(30),
                                                                       .retry_for = std::chrono::seconds(120)}) {
    for (int i = 0; i < kLabelers; ++i) clients_.push_back(std::make_unique<bench::LoadClient>(open(i), i, calls));
    for (const auto& client : clients_) {
      if (const Status status = client->Register(); !status.ok()) throw std::runtime_error(status.ToString());
    }
  }
  explicit Labelers(const std::string& address)
      : Labelers([&](int number) { return bench::OpenOwnChannel(address, number); }) {}

  /// Returns: what they saw of `rate` calls a second; 0: each calls again once it is answered.
  bench::Load Work(double seconds, double rate = kCallsASecond) {
    return bench::RunLoad({.clients = kLabelers, .seconds = seconds, .rate = rate}, [&](int number) {
      bench::LoadClient& client = *clients_.at(static_cast<std::size_t>(number));
      return [this, &client, turn = 0]() mutable {
        const bool renew = ++turn % kCallsToARenewal == 0;
        const Status status = renew ? client.Renew() : client.Cycle();
        if (status.ok()) return 1;
        const std::lock_guard lock(mutex_);
        failure_ = status.ToString();
        return -1;
      };
    });
  }

  std::string failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  std::vector<std::uint64_t> Committed() const {
    std::vector<std::uint64_t> all;
    for (const auto& client : clients_) all.insert(all.end(), client->committed().begin(), client->committed().end());
    return all;
  }

 private:
  std::vector<std::unique_ptr<bench::LoadClient>> clients_;
  std::mutex mutex_;
  std::string failure_;
};

}  // namespace ferment::load
