// SPDX-License-Identifier: Apache-2.0
//
// An object store in memory that writes down what was read of it.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/io/checksum.h"
#include "common/io/object/object_store.h"

namespace ferment::testing {

inline std::vector<std::byte> BytesOf(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// Synchronizes itself. Etags are digests of the contents, as S3's are.
class MemoryObjectStore final : public io::ObjectStore {
 public:
  struct ReadCall {
    std::string key;
    std::uint64_t offset;
    std::uint64_t size;
  };

  Result<io::ObjectFacts> Head(const std::string& key) override {
    const MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return Fail(NotFoundError("no object: key=" + key));
    return io::ObjectFacts{found->second.size(), io::Sha256Hex(found->second)};
  }

  Result<std::vector<std::byte>> Read(const std::string& key, std::uint64_t offset, std::uint64_t size,
                                      const std::string& etag) override {
    {
      const MutexLock lock(mutex_);
      reads_.push_back({key, offset, size});
      if (before_read_) before_read_(reads_.back());
      if (!failure_.ok()) return Fail(failure_);
    }
    FERMENT_ASSIGN_OR_RETURN(const io::ObjectFacts facts, Head(key));
    if (!etag.empty() && facts.etag != etag) return Fail(FailedPreconditionError("replaced: key=" + key));
    if (offset > facts.size || size > facts.size - offset) return Fail(OutOfRangeError("past the end: key=" + key));
    const MutexLock lock(mutex_);
    const auto first = objects_[key].begin() + static_cast<std::ptrdiff_t>(offset);
    return std::vector<std::byte>(first, first + static_cast<std::ptrdiff_t>(size));
  }

  Status PutIfAbsent(const std::string& key, std::span<const std::byte> bytes) override {
    const MutexLock lock(mutex_);
    const auto [at, fresh] = objects_.try_emplace(key, bytes.begin(), bytes.end());
    if (fresh || std::equal(bytes.begin(), bytes.end(), at->second.begin(), at->second.end())) return {};
    return AlreadyExistsError("another object has this name: key=" + key);
  }

  Result<std::string> Replace(const std::string& key, std::span<const std::byte> bytes,
                              const std::string& etag) override {
    const MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    const std::string there = found == objects_.end() ? "" : io::Sha256Hex(found->second);
    if (there != etag && there != io::Sha256Hex(bytes)) return Fail(FailedPreconditionError("changed: key=" + key));
    objects_[key] = {bytes.begin(), bytes.end()};
    return io::Sha256Hex(bytes);
  }

  Result<io::ObjectPage> List(const std::string& prefix, const std::string& from) override {
    const MutexLock lock(mutex_);
    io::ObjectPage page;
    for (auto at = objects_.lower_bound(std::max(prefix, from)); at != objects_.end(); ++at) {
      if (!at->first.starts_with(prefix)) break;
      if (page.objects.size() + page.folders.size() == 2) {
        page.next = at->first;
        break;
      }
      const std::size_t slash = at->first.find('/', prefix.size());
      if (slash == std::string::npos) {
        page.objects.push_back({at->first, at->second.size()});
      } else if (const std::string folder = at->first.substr(0, slash + 1);
                 page.folders.empty() || page.folders.back() != folder) {
        page.folders.push_back(folder);
      }
    }
    return page;
  }

  Status Remove(const std::string& key) override {
    const MutexLock lock(mutex_);
    objects_.erase(key);
    return {};
  }

  void Put(const std::string& key, const std::string& text) {
    const MutexLock lock(mutex_);
    objects_[key] = BytesOf(text);
  }
  std::vector<ReadCall> Reads() const {
    const MutexLock lock(mutex_);
    return reads_;
  }
  /// Reads fail with this from now on.
  void FailReads(Status failure) {
    const MutexLock lock(mutex_);
    failure_ = std::move(failure);
  }
  /// Called under the lock.
  void BeforeRead(std::function<void(const ReadCall&)> hook) {
    const MutexLock lock(mutex_);
    before_read_ = std::move(hook);
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::vector<std::byte>> objects_ FERMENT_GUARDED_BY(mutex_);
  std::vector<ReadCall> reads_ FERMENT_GUARDED_BY(mutex_);
  Status failure_ FERMENT_GUARDED_BY(mutex_);
  std::function<void(const ReadCall&)> before_read_ FERMENT_GUARDED_BY(mutex_);
};

}  // namespace ferment::testing
