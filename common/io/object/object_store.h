// SPDX-License-Identifier: Apache-2.0
//
// The port to a bucket of an object store: whole objects written on a condition, ranges read, names listed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

struct ObjectFacts {
  std::uint64_t size = 0;
  /// Names the object's contents; as the store writes it, without quotes.
  std::string etag;
};

struct ObjectPage {
  struct Entry {
    std::string key;
    std::uint64_t size = 0;
  };
  std::vector<Entry> objects;
  /// What keys go on with up to the next slash, that included.
  std::vector<std::string> folders;
  /// Where the next page begins; empty behind the last.
  std::string next;
};

/// An object appears whole or not at all, and a reader sees one of two writers' objects whole; there is no rename.
///
/// Errors of all: NotFound (65) for the bucket; PermissionDenied (77) for credentials, rights, a clock that is wrong;
/// InvalidArgument (64) for another region; Unavailable or DeadlineExceeded (69) where the store does not answer or has
/// too much to do, after as many tries as the settings allow; Cancelled where it was opened with a stop that was
/// requested. Messages name bucket, key, HTTP status and the store's
/// code. Thread: any.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// Errors: NotFound.
  virtual Result<ObjectFacts> Head(const std::string& key) = 0;
  /// Returns: bytes [offset, offset + size) of the object that has this etag (any where it is empty). Goes on behind
  /// what came when a connection breaks. Errors: NotFound; OutOfRange past the end; FailedPrecondition (65) where the
  /// object is another by now.
  virtual Result<std::vector<std::byte>> Read(const std::string& key, std::uint64_t offset, std::uint64_t size,
                                              const std::string& etag) = 0;
  /// Writes the object where there is none. Success also where there is one with the very same bytes: so it may be
  /// repeated. Errors: AlreadyExists where there is another.
  virtual Status PutIfAbsent(const std::string& key, std::span<const std::byte> bytes) = 0;
  /// Replaces the object that has this etag, or writes it where none is there and `etag` is empty. Returns: the new
  /// etag, also where the object has the very same bytes already. Errors: FailedPrecondition where another wrote.
  virtual Result<std::string> Replace(const std::string& key, std::span<const std::byte> bytes,
                                      const std::string& etag) = 0;
  /// Returns: a page of what begins with `prefix`, sorted; `from` is "" or the `next` of the page before.
  virtual Result<ObjectPage> List(const std::string& prefix, const std::string& from) = 0;
  /// Success also where there is none.
  virtual Status Remove(const std::string& key) = 0;
};

}  // namespace ferment::io
