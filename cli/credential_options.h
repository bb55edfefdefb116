// SPDX-License-Identifier: Apache-2.0
//
// The options by which a command shows who it is to a coordinator.
#pragma once

#include <CLI/CLI.hpp>

#include "common/rpc/credentials/credential_paths.h"

namespace ferment::cli {

/// --tls-dir, --tls-cert, --tls-key, --tls-ca, --tls-crl and --token-file, each with its environment variable. `flags`
/// outlives the parsing.
void AddCredentialOptions(CLI::App& command, rpc::CredentialFlags& flags);

}  // namespace ferment::cli
