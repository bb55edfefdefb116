// SPDX-License-Identifier: Apache-2.0
//
// What a store's conditions are good for: an object that only the latest of several writers may replace.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/io/fenced_writer.h"
#include "common/io/object/object_store.h"
#include "common/io/object/object_url.h"

namespace ferment::io {

/// Writes and removes an object beside `place`, of a name of its own, to see whether the store keeps to conditions: as
/// many as like may try at a time. Errors: FailedPrecondition (69) where it writes what it should have refused; those
/// of the store.
Status TryConditions(ObjectStore& store, const ObjectUrl& place);

/// As FencedWriter, for objects. A writer's first write of an object asks the fence and takes up the etag that the
/// object has then; each write is made on the condition that the object still has the etag of the one before, and asks
/// the fence once more where that failed: the later writer takes the object up again, the earlier one ends.
///
/// So what an earlier writer sends late, however late, is refused, save over the very contents that it was to follow.
/// Thread: one at a time.
class FencedObjectWriter {
 public:
  using Open = std::function<Result<std::shared_ptr<ObjectStore>>(const ObjectUrl&)>;
  explicit FencedObjectWriter(Open open) : open_(std::move(open)) {}

  /// Errors: the fence's; those of ObjectStore::Replace.
  Status Write(const ObjectUrl& place, std::string_view text, const Fence& fence);

 private:
  struct Object {
    std::shared_ptr<ObjectStore> store;
    /// Empty: there is none.
    std::string etag;
  };
  Status TakeUp(const ObjectUrl& place, Object& object, const Fence& fence);

  const Open open_;
  std::map<std::string, Object> objects_;
};

}  // namespace ferment::io
