// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/check.h"
#include "common/rpc/credentials/authenticator.h"
#include "common/rpc/credentials/certificate_facts.h"
#include "common/rpc/credentials/openssl_objects.h"
#include "common/rpc/credentials/revocation_list.h"
#include "common/rpc/credentials/token_file.h"

namespace ferment::rpc {
namespace {

void CheckTokens(std::string_view text) {
  const auto tokens = ParseTokens(text);
  if (!tokens) {
    FERMENT_CHECK(ProcessExitCode(tokens.error()) == exit_code::kNotAllowed) << tokens.error().message();
    return;
  }
  for (const TokenEntry& entry : *tokens) {
    const auto again = ParseTokens(TokenLine(entry));
    FERMENT_CHECK(again && again->size() == 1) << TokenLine(entry);
    const TokenEntry& same = again->front();
    FERMENT_CHECK(same.name == entry.name && same.role == entry.role && same.hash == entry.hash) << TokenLine(entry);
    FERMENT_CHECK(same.expires == entry.expires) << TokenLine(entry);
  }
}

void CheckNames(std::string_view text) {
  const auto name = ParseSpiffeName(text);
  if (!name) return;
  std::string whole = "spiffe://" + name->trust + "/ferment/" + name->role;
  if (!name->name.empty()) whole += "/" + name->name;
  FERMENT_CHECK(whole == text) << whole;
}

/// `text`: lists, an empty line, and the authorities that are to have signed them.
void CheckLists(std::string_view text) {
  const std::size_t gap = text.find("\n\n");
  const std::string_view authorities = gap == std::string_view::npos ? text : text.substr(gap + 2);
  const auto lists = RevocationLists::Read(text.substr(0, gap), authorities);
  if (!lists) return;
  FERMENT_CHECK(!lists->empty());
  lists->size();
  lists->next_update();
  lists->RevokeAnyOf(authorities);
}

}  // namespace
}  // namespace ferment::rpc

// Any bytes as each of the files that say who may call: understood, or refused with a reason; a line of tokens and a
// SPIFFE id that were understood are written as they were read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment::rpc;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckTokens(text);
  CheckNames(text);
  CheckLists(text);
  ReadCertificateFacts(text);
  ReadPrivateKey(text);
  const auto domain = TrustDomainOf(text);
  FERMENT_CHECK(!domain || !domain->empty());
  return 0;
}
