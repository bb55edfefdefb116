// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/credential_paths.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "common/base/environment_names.h"
#include "common/rpc/credentials/openssl_objects.h"
#include "common/rpc/credentials/revocation_list.h"

namespace ferment::rpc {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestToken = 4096;

Status Usage(const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); }

Status NotAllowed(const Status& why, const fs::path& file) {
  return why.With("file=" + file.string()).WithExitCode(exit_code::kNotAllowed);
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Status CheckPair(const CredentialPaths& paths) {
  FERMENT_ASSIGN_OR_RETURN(const std::string certificate_text, ReadCredential(paths.certificate));
  FERMENT_ASSIGN_OR_RETURN(const std::string key_text, ReadCredential(paths.private_key));
  const auto certificate = ReadCertificate(certificate_text);
  if (!certificate) return NotAllowed(certificate.error(), paths.certificate);
  const auto key = ReadPrivateKey(key_text);
  if (!key) return NotAllowed(key.error(), paths.private_key);
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    TakeOpensslError();
    return NotAllowed(InvalidArgumentError("the key is not that of the certificate " + paths.certificate.string()),
                      paths.private_key);
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate->get())) < 0) {
    return NotAllowed(InvalidArgumentError("this certificate has expired; renew it (`ferment dev-certs DIR --force`)"),
                      paths.certificate);
  }
  FERMENT_ASSIGN_OR_RETURN(const RevocationLists revocations, ReadRevocations(paths));
  if (!revocations.Revoke(**certificate)) return {};
  return NotAllowed(InvalidArgumentError("this certificate has been revoked, by " + paths.revocations.string() +
                                         "; renew it (`ferment dev-certs DIR --force`)"),
                    paths.certificate);
}

}  // namespace

CredentialFlags CredentialFlagsOfEnvironment() {
  return {Variable(environment::kTlsDir), Variable(environment::kTlsCert), Variable(environment::kTlsKey),
          Variable(environment::kTlsCa),  Variable(environment::kTlsCrl),  Variable(environment::kTokenFile)};
}

Result<CredentialPaths> ResolveCredentials(const CredentialFlags& flags) {
  CredentialPaths paths;
  if (!flags.tls_dir.empty()) {
    const fs::path folder = flags.tls_dir;
    paths.authorities = folder / "ca.crt";
    paths.revocations = folder / "ca.crl";
    std::error_code ignored;
    if (fs::exists(folder / "tls.crt", ignored)) {
      paths.certificate = folder / "tls.crt";
      paths.private_key = folder / "tls.key";
    }
  }
  if (!flags.tls_cert.empty()) paths.certificate = flags.tls_cert;
  if (!flags.tls_key.empty()) paths.private_key = flags.tls_key;
  if (!flags.tls_ca.empty()) paths.authorities = flags.tls_ca;
  if (!flags.tls_crl.empty()) {
    paths.revocations = flags.tls_crl;
    paths.revocations_wanted = true;
  }
  paths.token = flags.token_file;
  if (paths.certificate.empty() != paths.private_key.empty())
    return Fail(Usage("--tls-cert and --tls-key go together"));
  if (paths.HaveCertificate() && !paths.UseTls()) return Fail(Usage("--tls-cert needs --tls-ca, whom to trust"));
  if (!paths.revocations.empty() && !paths.UseTls()) return Fail(Usage("--tls-crl needs --tls-ca, whose list it is"));
  if (!paths.token.empty() && !paths.UseTls()) {
    return Fail(Usage("--token-file needs --tls-ca or --tls-dir: a token is never sent without TLS"));
  }
  return paths;
}

Result<std::string> ReadCredential(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (in) {
    // An iterator over the bytes would throw where they cannot be read, as those of a folder.
    std::string text;
    std::array<char, 4096> piece{};
    while (in.read(piece.data(), piece.size()) || in.gcount() > 0) {
      text.append(piece.data(), static_cast<std::size_t>(in.gcount()));
    }
    if (in.bad()) return Fail(NotAllowed(UnavailableError("cannot read it; is it a file?"), file));
    if (!text.empty()) return text;
    return Fail(NotAllowed(InvalidArgumentError("an empty file"), file));
  }
  const std::string reason = std::strerror(errno);
  return Fail(errno == EACCES ? NotAllowed(PermissionDeniedError("cannot read it: " + reason), file)
                              : NotAllowed(NotFoundError("cannot read it: " + reason), file));
}

Result<std::string> ReadToken(const fs::path& file) {
  FERMENT_ASSIGN_OR_RETURN(std::string text, ReadCredential(file));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  const bool good = !text.empty() && text.size() <= kLongestToken &&
                    text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") ==
                        std::string::npos;
  if (good) return text;
  return Fail(NotAllowed(InvalidArgumentError("not a token: one line of letters, digits and -._~+/="), file));
}

Status CheckCredentials(const CredentialPaths& paths) {
  if (!paths.UseTls()) return {};
  FERMENT_ASSIGN_OR_RETURN(const std::string authorities, ReadCredential(paths.authorities));
  if (const auto authority = ReadCertificate(authorities); !authority) {
    return NotAllowed(authority.error(), paths.authorities);
  }
  if (paths.HaveCertificate()) {
    FERMENT_RETURN_IF_ERROR(CheckPair(paths));
  } else if (const auto revocations = ReadRevocations(paths); !revocations) {
    return revocations.error();
  }
  if (paths.token.empty()) return {};
  const auto token = ReadToken(paths.token);
  return token ? Status() : token.error();
}

}  // namespace ferment::rpc
