// SPDX-License-Identifier: Apache-2.0
//
// gRPC's credentials from files, which are read again whenever they change.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "common/rpc/credentials/credential_paths.h"

namespace ferment::rpc {

/// How long a renewed certificate may go unnoticed; connections that are made later have it.
inline constexpr unsigned kLookForNewFilesSeconds = 1;

/// TLS 1.2 or newer to a server whose certificate covers the host that is called and is not revoked where `paths` names
/// lists, with a certificate and with a bearer token where it names them; without TLS where it names nothing. Errors:
/// those of CheckCredentials.
Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const CredentialPaths& paths);

/// Wants a verified certificate of every client or, where `tokens_do`, of each that shows one. Errors: those of
/// CheckCredentials; InvalidArgument with exit code 2 where certificate or authorities are not named.
Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const CredentialPaths& paths, bool tokens_do);

}  // namespace ferment::rpc
