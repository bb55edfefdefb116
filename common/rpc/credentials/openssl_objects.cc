// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/openssl_objects.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

namespace ferment::rpc {
namespace {

Bio BioOf(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

/// Never asks at the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return 0; }

std::size_t CountOf(std::string_view words, std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(words); at != std::string_view::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

/// Those of any kind, and those of which only the beginning or the end can be made out.
std::size_t BlocksIn(std::string_view pem) { return std::max(CountOf("-----BEGIN ", pem), CountOf("-----END ", pem)); }

/// What is no such object in PEM is passed over; one that is damaged is not.
template <auto kRead, typename Object>
Result<std::vector<Object>> ReadEach(std::string_view pem, const char* what) {
  const Bio text = BioOf(pem);
  std::vector<Object> objects;
  while (auto* object = kRead(text.get(), nullptr, NoPassword, nullptr)) objects.emplace_back(object);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string end = TakeOpensslError();
  if (!objects.empty() && at_end) return objects;
  return Fail(InvalidArgumentError("not " + std::string(what) + " in PEM from beginning to end: good=" +
                                   std::to_string(objects.size()) + " (" + end + ")"));
}

}  // namespace

std::string TakeOpensslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "OpenSSL failed";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

Result<Certificate> ReadCertificate(std::string_view pem) {
  Certificate certificate(PEM_read_bio_X509(BioOf(pem).get(), nullptr, NoPassword, nullptr));
  if (certificate) return certificate;
  return Fail(InvalidArgumentError("not a certificate in PEM (" + TakeOpensslError() + ")"));
}

Result<PrivateKey> ReadPrivateKey(std::string_view pem) {
  PrivateKey key(PEM_read_bio_PrivateKey(BioOf(pem).get(), nullptr, NoPassword, nullptr));
  if (key) return key;
  return Fail(InvalidArgumentError("not a private key in PEM without a password (" + TakeOpensslError() + ")"));
}

Result<std::vector<Certificate>> ReadCertificates(std::string_view pem) {
  return ReadEach<PEM_read_bio_X509, Certificate>(pem, "certificates");
}

Result<std::vector<RevocationList>> ReadRevocationLists(std::string_view pem) {
  FERMENT_ASSIGN_OR_RETURN(auto lists, (ReadEach<PEM_read_bio_X509_CRL, RevocationList>(pem, "revocation lists")));
  // A list whose head is damaged must not be passed over.
  if (lists.size() == BlocksIn(pem)) return lists;
  return Fail(InvalidArgumentError("not all of it is revocation lists in PEM: good=" + std::to_string(lists.size()) +
                                   " of=" + std::to_string(BlocksIn(pem))));
}

WallTime WallTimeAt(std::time_t seconds) {
  constexpr auto kFirst = std::chrono::ceil<std::chrono::seconds>(WallTime::min()).time_since_epoch().count();
  constexpr auto kLast = std::chrono::floor<std::chrono::seconds>(WallTime::max()).time_since_epoch().count();
  return WallTime(std::chrono::seconds(std::clamp<std::int64_t>(seconds, kFirst, kLast)));
}

std::optional<WallTime> TimeOf(const ASN1_TIME* time) {
  tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return WallTimeAt(timegm(&parts));
}

}  // namespace ferment::rpc
