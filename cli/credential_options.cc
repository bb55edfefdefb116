// SPDX-License-Identifier: Apache-2.0
#include "cli/credential_options.h"

#include "common/base/environment_names.h"

namespace ferment::cli {

void AddCredentialOptions(CLI::App& command, rpc::CredentialFlags& flags) {
  const auto add = [&command](const char* name, std::string& value, const char* about, const char* variable) {
    command.add_option(name, value, about)->envname(variable)->group("Credentials");
  };
  add("--tls-dir", flags.tls_dir, "Folder with ca.crt, and with tls.crt and tls.key if you have a certificate",
      environment::kTlsDir);
  add("--tls-cert", flags.tls_cert, "Certificate, where it lies elsewhere", environment::kTlsCert);
  add("--tls-key", flags.tls_key, "Its key", environment::kTlsKey);
  add("--tls-ca", flags.tls_ca, "Authority of the coordinator's certificate", environment::kTlsCa);
  add("--tls-crl", flags.tls_crl, "Certificates that it has revoked; in --tls-dir: ca.crl", environment::kTlsCrl);
  add("--token-file", flags.token_file, "File with your token, in place of a certificate", environment::kTokenFile);
}

}  // namespace ferment::cli
