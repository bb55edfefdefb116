// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/object_url.h"

#include <algorithm>

#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

constexpr std::string_view kScheme = "s3://";
constexpr std::size_t kShortestBucket = 3;
constexpr std::size_t kLongestBucket = 63;
constexpr std::size_t kLongestKey = 1024;

bool IsBucketName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  return name.size() >= kShortestBucket && name.size() <= kLongestBucket && std::all_of(name.begin(), name.end(), fits);
}

std::string_view WithoutSlashes(std::string_view key) {
  while (key.starts_with('/')) key.remove_prefix(1);
  while (key.ends_with('/')) key.remove_suffix(1);
  return key;
}

}  // namespace

std::string ObjectUrl::Text() const { return std::string(kScheme) + bucket + (key.empty() ? "" : "/" + key); }

ObjectUrl ObjectUrl::Below(std::string_view name) const {
  return {bucket, key.empty() ? std::string(name) : key + "/" + std::string(name)};
}

bool IsObjectUrl(std::string_view path) { return path.starts_with(kScheme); }

Result<ObjectUrl> ParseObjectUrl(std::string_view text) {
  const auto wrong = [&](const std::string& what) {
    return Fail(InvalidArgumentError("not a place in an object store: " + what + ": url=" + ShownName(text) +
                                     "; write s3://BUCKET/PREFIX"));
  };
  if (!IsObjectUrl(text)) return wrong("it does not begin with s3://");
  text.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view bucket = text.substr(0, slash);
  const std::string_view key = WithoutSlashes(text.substr(slash));
  if (!IsBucketName(bucket)) return wrong("a bucket's name has 3 to 63 letters, digits, dots, hyphens");
  if (key.size() > kLongestKey) return wrong("a key has at most 1024 bytes");
  if (std::any_of(key.begin(), key.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return wrong("the key has a control character");
  return ObjectUrl{std::string(bucket), std::string(key)};
}

}  // namespace ferment::io
