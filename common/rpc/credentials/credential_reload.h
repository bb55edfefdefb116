// SPDX-License-Identifier: Apache-2.0
//
// What HUP asks of a program: its certificates and tokens once more.
#pragma once

#include <filesystem>

#include "common/rpc/credentials/credential_paths.h"

namespace ferment::rpc {

/// Reads all that `paths` names and the coordinator's file of tokens, where it has one, and logs which files were good,
/// or what is wrong with one. Connections and calls take the files anew by themselves (kLookForNewFilesSeconds), so
/// this only tells who renewed them, at once, whether they will.
void ReloadCredentials(const CredentialPaths& paths, const std::filesystem::path& tokens = {});

}  // namespace ferment::rpc
