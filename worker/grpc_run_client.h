// SPDX-License-Identifier: Apache-2.0
//
// Talks to the coordinator's TrainerService.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "common/rpc/outage_patience.h"
#include "worker/run_client.h"

namespace ferment::worker {

struct GrpcRunClientOptions {
  /// HOST:PORT of the coordinator.
  std::string coordinator;
  std::string run_id;
  std::string job_id;
  std::uint32_t attempt = 1;
  /// Absolute, as the coordinator knows it.
  std::filesystem::path run_dir = {};
  /// How long the token and the completion are asked for while the coordinator is away.
  std::chrono::milliseconds patience = rpc::kOutagePatience;
  /// Whether this process is to end; ends that asking with exit code 143. Called on another thread.
  std::function<bool()> leaving = [] { return false; };
};

/// Reports go out on a thread of their own, the newest only, one attempt each: a coordinator that is away or slow never
/// holds up a step. Shows what the environment names (rpc::CredentialFlagsOfEnvironment); where that cannot be read,
/// Acquire says so.
std::unique_ptr<RunClient> MakeGrpcRunClient(GrpcRunClientOptions options);

}  // namespace ferment::worker
