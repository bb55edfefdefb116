// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/conditional_writes.h"

#include <span>
#include <string>
#include <utility>

#include "common/base/unique_name.h"

namespace ferment::io {
namespace {

/// One other write at most can come between: that of the writer before, which was let pass before the turn.
constexpr int kTries = 4;

Status Ignores(const ObjectUrl& place, const std::string& what) {
  return FailedPreconditionError(
             "the object store ignores " + what +
             ", so nothing keeps two writers apart; label sets need one that does: url=" + place.Text())
      .WithExitCode(exit_code::kMissingService);
}

std::span<const std::byte> BytesOf(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

Status TryConditions(ObjectStore& store, const ObjectUrl& place) {
  const std::string key = place.key + '-' + NewUniqueName();
  FERMENT_RETURN_IF_ERROR(store.PutIfAbsent(key, BytesOf("first")));
  const Status second = store.PutIfAbsent(key, BytesOf("second"));
  if (second.ok()) return Ignores(place, "If-None-Match of PUT");
  if (second.code() != StatusCode::kAlreadyExists) return second;
  const auto replaced = store.Replace(key, BytesOf("third"), "0123456789abcdef0123456789abcdef");
  if (replaced) return Ignores(place, "If-Match of PUT");
  if (replaced.error().code() != StatusCode::kFailedPrecondition) return replaced.error();
  return store.Remove(key);
}

Status FencedObjectWriter::TakeUp(const ObjectUrl& place, Object& object, const Fence& fence) {
  FERMENT_RETURN_IF_ERROR(fence());
  auto facts = object.store->Head(place.key);
  if (!facts && facts.error().code() != StatusCode::kNotFound) return facts.error();
  object.etag = facts ? std::move(facts->etag) : "";
  return {};
}

Status FencedObjectWriter::Write(const ObjectUrl& place, std::string_view text, const Fence& fence) {
  auto found = objects_.find(place.Text());
  if (found == objects_.end()) {
    Object object;
    FERMENT_ASSIGN_OR_RETURN(object.store, open_(place));
    FERMENT_RETURN_IF_ERROR(TakeUp(place, object, fence));
    found = objects_.emplace(place.Text(), std::move(object)).first;
  }
  Object& object = found->second;
  Status refused;
  for (int i = 0; i < kTries; ++i) {
    FERMENT_RETURN_IF_ERROR(fence());
    auto etag = object.store->Replace(place.key, BytesOf(text), object.etag);
    if (etag) {
      object.etag = *std::move(etag);
      return {};
    }
    refused = etag.error();
    if (refused.code() != StatusCode::kFailedPrecondition) break;
    FERMENT_RETURN_IF_ERROR(TakeUp(place, object, fence));
  }
  FERMENT_RETURN_IF_ERROR(fence());
  return refused;
}

}  // namespace ferment::io
