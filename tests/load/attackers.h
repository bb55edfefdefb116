// SPDX-License-Identifier: Apache-2.0
//
// Machines that want in or want others out: each works from construction on until it is stopped, at the lowest
// priority.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/rpc/credentials/credential_paths.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::load {

/// Calls with tokens that it makes up, whether those before were answered or not.
class TokenGuesser {
 public:
  /// `trust` has no certificate and no token.
  TokenGuesser(const std::string& address, const rpc::CredentialPaths& trust, int channels, double rate);
  /// Waits for all answers. Returns: how many ended as what.
  std::map<grpc::StatusCode, std::uint64_t> Stop();

 private:
  struct Guess;
  void Make(std::uint64_t number);
  void Collect();

  std::vector<std::unique_ptr<v1::RunService::Stub>> runs_;
  grpc::CompletionQueue queue_;
  std::atomic<int> waiting_{0};
  std::map<grpc::StatusCode, std::uint64_t> ended_;
  std::jthread collector_;
  std::jthread guesser_;
};

/// Opens connections from another address of this machine and says nothing; keeps as many open as it can, up to `held`.
class ConnectionFlood {
 public:
  ConnectionFlood(const std::string& address, std::size_t held, double rate);
  std::uint64_t opened() const { return opened_; }
  /// By the other side.
  std::uint64_t closed() const { return closed_; }

 private:
  void Run(const std::stop_token& stop, const std::string& address, std::size_t held, double rate);

  std::atomic<std::uint64_t> opened_{0};
  std::atomic<std::uint64_t> closed_{0};
  std::jthread thread_;
};

/// Requests to the admin port whose headers never end: a letter of each every while. Who is closed begins anew.
class SlowRequests {
 public:
  SlowRequests(const std::string& admin, std::size_t count);
  std::uint64_t letters() const { return letters_; }
  /// By the other side.
  std::uint64_t closed() const { return closed_; }

 private:
  void Run(const std::stop_token& stop, const std::string& admin, std::size_t count);

  std::atomic<std::uint64_t> letters_{0};
  std::atomic<std::uint64_t> closed_{0};
  std::jthread thread_;
};

}  // namespace ferment::load
