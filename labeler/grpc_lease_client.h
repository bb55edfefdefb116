// SPDX-License-Identifier: Apache-2.0
//
// Leases from a coordinator over gRPC.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "common/base/instruction_set.h"
#include "common/rpc/credentials/credential_paths.h"
#include "labeler/lease_client.h"

namespace ferment::labeler {

struct LabelerIdentity {
  /// Shown on the status page.
  std::string name;
  /// Chosen anew by each process.
  std::string incarnation;
  /// Class of its arithmetic: InstructionSetClass(), or kCudaClass.
  std::string arithmetic{InstructionSetClass()};
  /// The machine that it runs on; empty: it does not say.
  std::string host = {};
};

/// Returns: a client that registers with its first Take, and again after a coordinator forgot it. Take and Commit try
/// for ten minutes while the coordinator is gone; `ending` cuts that short, a commit's after
/// late_stop.h's time.
/// Errors: those of rpc::CheckCredentials.
Result<std::unique_ptr<LeaseClient>> MakeGrpcLeaseClient(const std::string& address,
                                                         const rpc::CredentialPaths& credentials,
                                                         const LabelerIdentity& identity, std::stop_token ending);

}  // namespace ferment::labeler
