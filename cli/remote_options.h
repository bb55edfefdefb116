// SPDX-License-Identifier: Apache-2.0
//
// What every command that asks a coordinator has in common: where it is and who asks.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/coordinator_client.h"
#include "common/rpc/credentials/credential_paths.h"

namespace ferment::cli {

struct RemoteOptions {
  std::string coordinator;
  rpc::CredentialFlags credentials;
};

/// Adds --coordinator and the credentials. `options` outlives the app's parsing.
void AddRemoteOptions(CLI::App& command, RemoteOptions& options);

/// Leaves the command where the credentials cannot be used.
CoordinatorClient ConnectOrLeave(const RemoteOptions& options);

}  // namespace ferment::cli
