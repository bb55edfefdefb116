// SPDX-License-Identifier: Apache-2.0
//
// Steps through bytes of unknown make, little-endian, and never past their end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

namespace ferment::io {

/// Each read moves on; one that would pass the end returns nothing. Owns nothing.
class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t at() const { return next_; }

  /// An unsigned number of `bytes` bytes. Requires: at most 8.
  std::optional<std::uint64_t> Number(std::size_t bytes) {
    if (bytes > bytes_.size() - next_) return std::nullopt;
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + next_, bytes);
    next_ += bytes;
    return value;
  }

  /// As many bytes as the number says, where there is one.
  std::optional<std::string> Text(std::optional<std::uint64_t> bytes) {
    if (!bytes || *bytes > bytes_.size() - next_) return std::nullopt;
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + next_, *bytes);
    next_ += *bytes;
    return text;
  }

  /// The bytes before the next line end, which is passed.
  std::optional<std::string> Line() {
    const auto rest = bytes_.subspan(next_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) return std::nullopt;
    auto line = Text(static_cast<std::uint64_t>(end - rest.begin()));
    ++next_;
    return line;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t next_ = 0;
};

}  // namespace ferment::io
