// SPDX-License-Identifier: Apache-2.0
//
// Calls that are made whether those before were answered or not, and how they ended.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ferment/v1/lease_service.grpc.pb.h"
#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::load {

struct FloodReport {
  std::map<grpc::StatusCode, std::uint64_t> ended;
  /// RESOURCE_EXHAUSTED without a time to come back.
  std::uint64_t refused_without_retry_info = 0;
  /// Calls that were due while too many waited, and were not made.
  std::uint64_t withheld = 0;
  /// Milliseconds from when a call was due, ascending, of those that were refused and of the others.
  std::vector<double> refused_ms;
  std::vector<double> answered_ms;

  std::uint64_t Of(grpc::StatusCode code) const;
  void Add(const FloodReport& other);
  /// One line of JSON for people.
  std::string ToString() const;
};

/// Half of the calls renew a lease that nobody holds, half ask for a run.
///
/// Thread: one at a time.
class CallFlood {
 public:
  /// Connects them all. Throws where that takes too long.
  CallFlood(const std::string& address, int channels);

  /// Makes `rate` calls a second for `seconds`, and waits for all answers.
  FloodReport Run(double rate, double seconds);
  /// Makes this many at once, and waits for all answers.
  FloodReport Burst(int calls) { return Run(1e9, static_cast<double>(calls) / 1e9); }

 private:
  struct Call;
  void Begin(std::uint64_t number, std::chrono::steady_clock::time_point due, grpc::CompletionQueue& queue);

  std::vector<std::unique_ptr<v1::LeaseService::Stub>> leases_;
  std::vector<std::unique_ptr<v1::RunService::Stub>> runs_;
};

}  // namespace ferment::load
