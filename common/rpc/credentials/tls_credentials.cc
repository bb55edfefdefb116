// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/tls_credentials.h"

#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <map>

#include "common/rpc/credentials/revocation_file.h"
#include "common/rpc/grpc_status.h"

namespace ferment::rpc {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::TlsCustomVerificationCheckRequest;

/// Reads the token anew for every call, so that a renewed one is sent at once.
class TokenOfFile final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenOfFile(std::filesystem::path file) : file_(std::move(file)) {}

  bool IsBlocking() const override { return true; }
  const char* GetType() const override { return "ferment-token-file"; }
  grpc::string DebugString() override { return "token of " + file_.string(); }
  grpc::Status GetMetadata(grpc::string_ref /*service*/, grpc::string_ref /*method*/,
                           const grpc::AuthContext& /*connection*/,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    const auto token = ReadToken(file_);
    if (!token) return ToGrpc(Status(StatusCode::kUnauthenticated, std::string(token.error().message())));
    metadata->emplace("authorization", "Bearer " + *token);
    return grpc::Status::OK;
  }

 private:
  const std::filesystem::path file_;
};

/// What gRPC asks of a server without a verifier of ours, that its certificate is for the host that is called, and that
/// it is not revoked.
class UnrevokedServer final : public ExternalCertificateVerifier {
 public:
  explicit UnrevokedServer(std::unique_ptr<RevocationFile> revocations) : revocations_(std::move(revocations)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)> callback,
              grpc::Status* status) override {
    if (!host_name_.Verify(request, std::move(callback), status)) return false;
    if (!status->ok()) return true;
    for (const grpc::string_ref& text : {request->peer_cert(), request->peer_cert_full_chain()}) {
      if (text.empty() || !revocations_->RevokeAnyOf({text.data(), text.size()})) continue;
      *status = {grpc::StatusCode::UNAUTHENTICATED, "the server's certificate has been revoked"};
    }
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest* request) override { host_name_.Cancel(request); }

 private:
  const std::unique_ptr<RevocationFile> revocations_;
  grpc::experimental::HostNameCertificateVerifier host_name_;
};

std::shared_ptr<FileWatcherCertificateProvider> Watch(const CredentialPaths& paths) {
  if (!paths.HaveCertificate()) {
    return std::make_shared<FileWatcherCertificateProvider>(paths.authorities.string(), kLookForNewFilesSeconds);
  }
  return std::make_shared<FileWatcherCertificateProvider>(paths.private_key.string(), paths.certificate.string(),
                                                          paths.authorities.string(), kLookForNewFilesSeconds);
}

}  // namespace

Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const CredentialPaths& paths) {
  if (!paths.UseTls()) return grpc::InsecureChannelCredentials();
  FERMENT_RETURN_IF_ERROR(CheckCredentials(paths));
  grpc::experimental::TlsChannelCredentialsOptions options;
  if (!paths.revocations.empty()) {
    FERMENT_ASSIGN_OR_RETURN(auto revocations, RevocationFile::Open(paths, SystemClock()));
    options.set_certificate_verifier(ExternalCertificateVerifier::Create<UnrevokedServer>(std::move(revocations)));
  }
  options.set_certificate_provider(Watch(paths));
  options.watch_root_certs();
  if (paths.HaveCertificate()) options.watch_identity_key_cert_pairs();
  auto credentials = grpc::experimental::TlsCredentials(options);
  if (paths.token.empty()) return credentials;
  return grpc::CompositeChannelCredentials(
      credentials, grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenOfFile>(paths.token)));
}

Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const CredentialPaths& paths, bool tokens_do) {
  if (!paths.UseTls() || !paths.HaveCertificate()) {
    return Fail(
        InvalidArgumentError("a server with TLS needs a certificate, its key, and the authorities of its clients: "
                             "--tls-dir DIR with tls.crt, tls.key and ca.crt")
            .WithExitCode(exit_code::kUsage));
  }
  FERMENT_RETURN_IF_ERROR(CheckCredentials(paths));
  grpc::experimental::TlsServerCredentialsOptions options(Watch(paths));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(tokens_do ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace ferment::rpc
