// SPDX-License-Identifier: Apache-2.0
#include "cli/issued_certificates.h"

#include "common/base/clock.h"
#include "common/io/atomic_file.h"
#include "common/rpc/credentials/certificate_facts.h"
#include "common/rpc/credentials/credential_paths.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

struct Issued {
  std::string pem;
  rpc::CertificateFacts facts;

  bool HasExpired() const { return facts.expires <= SystemClock().WallNow(); }
};

Result<Issued> Read(const fs::path& file) {
  FERMENT_ASSIGN_OR_RETURN(std::string pem, rpc::ReadCredential(file));
  auto facts = rpc::ReadCertificateFacts(pem);
  if (!facts) return Fail(facts.error().With("file=" + file.string()));
  return Issued{std::move(pem), std::move(*facts)};
}

}  // namespace

Status IssuedCertificates::Remember(const std::string& certificate) const {
  FERMENT_ASSIGN_OR_RETURN(const rpc::CertificateFacts facts, rpc::ReadCertificateFacts(certificate));
  const fs::path file = folder_ / (facts.serial + ".crt");
  std::error_code none;
  if (fs::exists(file, none)) return {};
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder_));
  return io::WriteFileAtomically(file, certificate);
}

Result<std::vector<std::string>> IssuedCertificates::Of(const std::string& who) const {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    if (entry.path().extension() != ".crt") continue;
    FERMENT_ASSIGN_OR_RETURN(Issued issued, Read(entry.path()));
    if (issued.facts.uri.ends_with("/ferment/" + who) && !issued.HasExpired()) found.push_back(std::move(issued.pem));
  }
  return found;
}

void IssuedCertificates::Prune() const {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    const auto issued = Read(entry.path());
    if (issued && issued->HasExpired()) fs::remove(entry.path(), none);
  }
}

}  // namespace ferment::cli
