// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/credential_reload.h"

#include "common/base/logging.h"
#include "common/rpc/credentials/token_file.h"

namespace ferment::rpc {
namespace {

Status ReadAll(const CredentialPaths& paths, const std::filesystem::path& tokens) {
  FERMENT_RETURN_IF_ERROR(CheckCredentials(paths));
  if (tokens.empty()) return {};
  FERMENT_ASSIGN_OR_RETURN(const std::string text, ReadCredential(tokens));
  const auto entries = ParseTokens(text);
  return entries ? Status() : entries.error().With("file=" + tokens.string());
}

}  // namespace

void ReloadCredentials(const CredentialPaths& paths, const std::filesystem::path& tokens) {
  if (!paths.UseTls()) {
    LogInfo("credentials.none", {{"why", "HUP came"}, {"next", "there is no certificate and no token to read again"}});
    return;
  }
  if (const Status read = ReadAll(paths, tokens); !read.ok()) {
    LogError("credentials.unreadable",
             {{"error", read.message()}, {"next", "until it is mended new connections may fail"}});
    return;
  }
  LogInfo("credentials.read", {{"certificate", paths.certificate.string()},
                               {"authorities", paths.authorities.string()},
                               {"revocations", paths.revocations.string()},
                               {"token", paths.token.string()},
                               {"tokens", tokens.string()},
                               {"next", "connections and calls from now on have them"}});
}

}  // namespace ferment::rpc
