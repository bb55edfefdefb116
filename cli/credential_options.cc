// SPDX-License-Identifier: Apache-2.0
#include "cli/credential_options.h"

namespace ferment::cli {

void AddCredentialOptions(CLI::App& command, rpc::CredentialFlags& flags) {
  const auto add = [&command](const char* name, std::string& value, const char* about, const char* variable) {
    command.add_option(name, value, about)->envname(variable)->group("Credentials");
  };
  add("--tls-dir", flags.tls_dir, "Folder with ca.crt, and with tls.crt and tls.key if you have a certificate",
      "FERMENT_TLS_DIR");
  add("--tls-cert", flags.tls_cert, "Certificate, where it lies elsewhere", "FERMENT_TLS_CERT");
  add("--tls-key", flags.tls_key, "Its key", "FERMENT_TLS_KEY");
  add("--tls-ca", flags.tls_ca, "Authority of the coordinator's certificate", "FERMENT_TLS_CA");
  add("--token-file", flags.token_file, "File with your token, in place of a certificate", "FERMENT_TOKEN_FILE");
}

}  // namespace ferment::cli
