// SPDX-License-Identifier: Apache-2.0
#include "cli/remote_options.h"

#include "cli/command.h"
#include "cli/credential_options.h"
#include "common/base/environment_names.h"

namespace ferment::cli {

void AddRemoteOptions(CLI::App& command, RemoteOptions& options) {
  command.add_option("--coordinator", options.coordinator, "HOST:PORT")->envname(environment::kCoordinator)->required();
  AddCredentialOptions(command, options.credentials);
}

CoordinatorClient ConnectOrLeave(const RemoteOptions& options) {
  const auto credentials = OrLeave(rpc::ResolveCredentials(options.credentials));
  return OrLeave(CoordinatorClient::Connect(options.coordinator, credentials, std::chrono::seconds(5)));
}

}  // namespace ferment::cli
