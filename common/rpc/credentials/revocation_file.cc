// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/revocation_file.h"

#include <utility>

#include "common/base/logging.h"

namespace ferment::rpc {
namespace {

constexpr std::chrono::seconds kLookEach{1};
// Some kilobytes each; far more certificates than connections.
constexpr std::size_t kMostAnswers = 8192;

}  // namespace

Result<std::unique_ptr<RevocationFile>> RevocationFile::Open(const CredentialPaths& paths, const Clock& clock) {
  std::unique_ptr<RevocationFile> file(new RevocationFile(paths, clock));
  const MutexLock lock(file->mutex_);
  file->looked_ = clock.Now();
  file->lists_stamp_ = StampOf(paths.revocations);
  file->authorities_stamp_ = StampOf(paths.authorities);
  FERMENT_ASSIGN_OR_RETURN(file->lists_, ReadRevocations(paths));
  file->TellOutdated();
  return file;
}

bool RevocationFile::RevokeAnyOf(std::string_view certificates) {
  const MutexLock lock(mutex_);
  Follow();
  if (lists_.empty()) return false;
  if (const auto known = answers_.find(certificates); known != answers_.end()) return known->second;
  if (answers_.size() >= kMostAnswers) answers_.clear();
  return answers_.emplace(certificates, lists_.RevokeAnyOf(certificates)).first->second;
}

void RevocationFile::Follow() {
  const MonotonicTime now = clock_.Now();
  if (now - looked_ < kLookEach) return;
  looked_ = now;
  const FileStamp lists = StampOf(paths_.revocations);
  const FileStamp authorities = StampOf(paths_.authorities);
  if (lists != lists_stamp_ || authorities != authorities_stamp_) {
    // A file that could not be read may be readable at the next look without being another one.
    if (!ReadAnew()) {
      TellOutdated();
      return;
    }
    lists_stamp_ = lists;
    authorities_stamp_ = authorities;
  }
  TellOutdated();
}

bool RevocationFile::ReadAnew() {
  auto read = ReadRevocations(paths_);
  const std::string file = paths_.revocations.string();
  if (!read) {
    if (std::exchange(told_unreadable_, std::string(read.error().message())) != read.error().message())
      LogError("revocations.unreadable",
               {{"error", read.error().message()}, {"next", "what was revoked before stays revoked"}});
    return false;
  }
  told_unreadable_.clear();
  if (!read->empty()) {
    LogInfo("revocations.read",
            {{"file", file}, {"revoked", read->size()}, {"lists_of_other_authorities", read->left_out()}});
  } else if (!lists_.empty()) {
    LogWarning("revocations.gone", {{"file", file}, {"next", "no certificate is revoked until the file is back"}});
  }
  lists_ = std::move(*read);
  answers_.clear();
  told_outdated_ = false;
  return true;
}

void RevocationFile::TellOutdated() {
  const auto next_update = lists_.next_update();
  if (told_outdated_ || !next_update || clock_.WallNow() < *next_update) return;
  told_outdated_ = true;
  LogWarning("revocations.outdated", {{"file", paths_.revocations.string()},
                                      {"next_update", FormatUtc(*next_update)},
                                      {"next", "what is revoked stays revoked; what was revoked since is not known"}});
}

}  // namespace ferment::rpc
