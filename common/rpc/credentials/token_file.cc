// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/token_file.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <time.h>

#include <sstream>
#include <utility>

#include "common/base/logging.h"
#include "common/rpc/access_policy.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/credentials/openssl_objects.h"

namespace ferment::rpc {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kNameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

std::optional<TokenHash> HashFromHex(std::string_view hex) {
  TokenHash hash{};
  if (hex.size() != hash.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const std::size_t digit = kHex.find(hex[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    hash[i / 2] = static_cast<unsigned char>(hash[i / 2] * 16 + digit);
  }
  return hash;
}

/// "2027-01-31" or "2027-01-31T12:00:00Z".
std::optional<WallTime> ParseUtc(const std::string& text) {
  for (const char* form : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"}) {
    tm parts{};
    const char* end = strptime(text.c_str(), form, &parts);
    if (end != nullptr && *end == '\0') return WallTimeAt(timegm(&parts));
  }
  return std::nullopt;
}

std::string Hex(const TokenHash& bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kHex[byte / 16];
    text += kHex[byte % 16];
  }
  return text;
}

Result<TokenEntry> ParseLine(const std::string& line) {
  std::istringstream words(line);
  std::string role;
  std::string hash;
  std::string expiry;
  std::string rest;
  TokenEntry entry;
  words >> entry.name >> role >> hash >> expiry >> rest;
  entry.role = RoleNamed(role);
  if (entry.name.empty() || entry.name.find_first_not_of(kNameLetters) != std::string::npos) {
    return Fail(InvalidArgumentError("the name is letters, digits and .-_"));
  }
  if (entry.role == v1::ROLE_UNSPECIFIED) {
    return Fail(InvalidArgumentError("the role is reader, submitter, operator, labeler or trainer"));
  }
  const auto parsed = HashFromHex(hash);
  if (!parsed) return Fail(InvalidArgumentError("the third word is the token's SHA-256 in 64 lower-case hex digits"));
  entry.hash = *parsed;
  if (!expiry.empty()) entry.expires = ParseUtc(expiry);
  if (!expiry.empty() && !entry.expires) {
    return Fail(InvalidArgumentError("the fourth word is an expiry such as 2027-01-31 or 2027-01-31T12:00:00Z"));
  }
  if (!rest.empty()) return Fail(InvalidArgumentError("a line has at most four words"));
  return entry;
}

}  // namespace

TokenHash HashOfToken(std::string_view token) {
  TokenHash hash{};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return hash;
}

Result<std::string> NewToken() {
  TokenHash bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1) return Hex(bytes);
  return Fail(InternalError("the machine gives no random bytes"));
}

std::string TokenLine(const TokenEntry& entry) {
  const std::string line = entry.name + " " + RoleName(entry.role) + " " + Hex(entry.hash);
  if (!entry.expires) return line;
  return line + " " + FormatUtc(*entry.expires).substr(0, 19) + "Z";
}

Result<std::vector<TokenEntry>> ParseTokens(std::string_view text) {
  std::vector<TokenEntry> entries;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    auto entry = ParseLine(line);
    if (!entry) {
      return Fail(entry.error().With("line " + std::to_string(number)).WithExitCode(exit_code::kNotAllowed));
    }
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<std::unique_ptr<TokenFile>> TokenFile::Open(const std::filesystem::path& file) {
  std::unique_ptr<TokenFile> tokens(new TokenFile(file));
  const MutexLock lock(tokens->mutex_);
  tokens->stamp_ = StampOf(file);
  FERMENT_ASSIGN_OR_RETURN(const std::string text, ReadCredential(file));
  auto entries = ParseTokens(text);
  if (!entries) return Fail(entries.error().With("file=" + file.string()));
  tokens->entries_ = std::move(*entries);
  return tokens;
}

void TokenFile::Follow() {
  const FileStamp now = StampOf(file_);
  if (now == stamp_) return;
  if (now.OfNoFile()) {
    stamp_ = now;
    entries_.clear();
    LogWarning("tokens.gone", {{"file", file_.string()}, {"next", "no token is taken until the file is back"}});
    return;
  }
  const auto text = ReadCredential(file_);
  // What could not be read may be readable at the next question without being another file.
  if (text) stamp_ = now;
  auto entries = text ? ParseTokens(*text) : Result<std::vector<TokenEntry>>(Fail(text.error()));
  if (!entries) {
    const std::string error(entries.error().message());
    const bool told = std::exchange(told_unreadable_, error) == error;
    if (text || !told)
      LogError("tokens.unreadable",
               {{"file", file_.string()}, {"error", error}, {"next", "the tokens of before stay in force"}});
    return;
  }
  told_unreadable_.clear();
  LogInfo("tokens.read", {{"file", file_.string()}, {"tokens", entries->size()}});
  entries_ = std::move(*entries);
}

std::optional<TokenEntry> TokenFile::Find(std::string_view token) {
  const TokenHash hash = HashOfToken(token);
  const MutexLock lock(mutex_);
  Follow();
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries_) {
    if (CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0) found = &entry;
  }
  return found == nullptr ? std::nullopt : std::optional(*found);
}

}  // namespace ferment::rpc
