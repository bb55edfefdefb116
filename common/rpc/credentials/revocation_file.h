// SPDX-License-Identifier: Apache-2.0
//
// Follows the file of revocation lists, and answers for each call whether its certificate still counts.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/credentials/file_stamp.h"
#include "common/rpc/credentials/revocation_list.h"

namespace ferment::rpc {

/// Looks once a second, when it is asked, whether the lists or the authorities are others. Lists that cannot be
/// understood, or that no authority of ours has signed, leave the former ones in force, are logged once and read again
/// at each look; where the file is gone, and need not be there, nothing is revoked. Lists that are out of date stay in
/// force and are logged once.
///
/// Thread: any; guarded. The clock outlives it.
class RevocationFile {
 public:
  /// Requires: `paths` name lists. Errors: those of ReadRevocations.
  static Result<std::unique_ptr<RevocationFile>> Open(const CredentialPaths& paths, const Clock& clock);

  /// Returns: RevocationLists::RevokeAnyOf, remembered for each text until the lists are others: a handshake's
  /// certificates are asked for with every call.
  bool RevokeAnyOf(std::string_view certificates);

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  RevocationFile(const CredentialPaths& paths, const Clock& clock) : paths_(paths), clock_(clock) {}
  void Follow() FERMENT_REQUIRES(mutex_);
  /// Returns: whether lists and authorities could be read and understood.
  bool ReadAnew() FERMENT_REQUIRES(mutex_);
  void TellOutdated() FERMENT_REQUIRES(mutex_);

  // Constant after construction.
  const CredentialPaths paths_;
  const Clock& clock_;
  // Under mutex_.
  Mutex mutex_;
  MonotonicTime looked_ FERMENT_GUARDED_BY(mutex_);
  FileStamp lists_stamp_ FERMENT_GUARDED_BY(mutex_);
  FileStamp authorities_stamp_ FERMENT_GUARDED_BY(mutex_);
  RevocationLists lists_ FERMENT_GUARDED_BY(mutex_);
  bool told_outdated_ FERMENT_GUARDED_BY(mutex_) = false;
  /// What is wrong with the lists, as it was logged last.
  std::string told_unreadable_ FERMENT_GUARDED_BY(mutex_);
  std::unordered_map<std::string, bool, Hash, std::equal_to<>> answers_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::rpc
