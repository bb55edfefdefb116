// SPDX-License-Identifier: Apache-2.0
//
// The tokens of people, as a file of their hashes: who reads it learns no token.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/rpc/credentials/file_stamp.h"
#include "ferment/v1/access.pb.h"

namespace ferment::rpc {

using TokenHash = std::array<unsigned char, 32>;

struct TokenEntry {
  std::string name;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  TokenHash hash{};
  std::optional<WallTime> expires;
};

/// Returns: 256 bits of chance in hex. Errors: Internal where the machine has none.
Result<std::string> NewToken();
/// Returns: SHA-256.
TokenHash HashOfToken(std::string_view token);
/// Returns: a line `name role sha256hex [expiry]` of a token file, without its end.
std::string TokenLine(const TokenEntry& entry);
/// Reads such lines; empty ones and those that begin with # are passed over. Errors: InvalidArgument with exit code 77,
/// naming the line's number and what is wrong, nothing of the line.
Result<std::vector<TokenEntry>> ParseTokens(std::string_view text);

/// Follows one file. A change of it counts from the next question on; a file that cannot be understood leaves the
/// former entries in force and says so in the log, one that is gone leaves none.
///
/// Thread: any; guarded.
class TokenFile {
 public:
  /// Errors: those of ReadCredential and ParseTokens.
  static Result<std::unique_ptr<TokenFile>> Open(const std::filesystem::path& file);

  /// Returns: whose token it is, expired or not. Takes as long for a wrong one as for a right one.
  std::optional<TokenEntry> Find(std::string_view token);

 private:
  explicit TokenFile(std::filesystem::path file) : file_(std::move(file)) {}
  void Follow() FERMENT_REQUIRES(mutex_);

  // Constant after construction.
  const std::filesystem::path file_;
  // Under mutex_.
  Mutex mutex_;
  FileStamp stamp_ FERMENT_GUARDED_BY(mutex_);
  /// What is wrong with the file, as it was logged last.
  std::string told_unreadable_ FERMENT_GUARDED_BY(mutex_);
  std::vector<TokenEntry> entries_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::rpc
