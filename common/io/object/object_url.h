// SPDX-License-Identifier: Apache-2.0
//
// Places in an object store as people write them: s3://bucket/some/prefix.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ferment::io {

/// A value.
struct ObjectUrl {
  std::string bucket;
  /// Without a slash at either end; empty for the bucket itself.
  std::string key;

  /// Returns: "s3://bucket/key".
  std::string Text() const;
  /// Returns: the place `name` below this one.
  ObjectUrl Below(std::string_view name) const;
  friend bool operator==(const ObjectUrl&, const ObjectUrl&) = default;
};

/// Returns: whether the text names a place in an object store and not on a disk.
bool IsObjectUrl(std::string_view path);

/// Errors: InvalidArgument (64) where the bucket has another name than S3 allows, or the key a control character.
Result<ObjectUrl> ParseObjectUrl(std::string_view text);

}  // namespace ferment::io
