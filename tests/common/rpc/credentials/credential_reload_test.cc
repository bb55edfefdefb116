// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/credential_reload.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/support/test_certificates.h"

namespace ferment::rpc {
namespace {

using ::testing::HasSubstr;

std::string Told(const CredentialPaths& paths, const std::filesystem::path& tokens) {
  ::testing::internal::CaptureStderr();
  ReloadCredentials(paths, tokens);
  return ::testing::internal::GetCapturedStderr();
}

TEST(CredentialReload, SaysWhichFilesAreGoodAndWhichIsNot) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "credential_reload";
  const ferment::testing::TestCertificates certificates(folder);
  const CredentialPaths paths = certificates.Server();
  const auto tokens = folder / "tokens";
  std::ofstream(tokens) << "ann reader " << std::string(64, 'a') << "\n";
  EXPECT_THAT(Told(paths, tokens), HasSubstr("credentials.read "));
  EXPECT_THAT(Told(paths, tokens), HasSubstr(paths.certificate.string()));

  std::ofstream(tokens) << "ann root " << std::string(64, 'a') << "\n";
  EXPECT_THAT(Told(paths, tokens), HasSubstr("credentials.unreadable"));
  EXPECT_THAT(Told(paths, tokens), HasSubstr(tokens.string()));

  std::filesystem::remove(paths.private_key);
  EXPECT_THAT(Told(paths, {}), HasSubstr(paths.private_key.string()));
  EXPECT_THAT(Told({}, {}), HasSubstr("credentials.none"));
}

}  // namespace
}  // namespace ferment::rpc
