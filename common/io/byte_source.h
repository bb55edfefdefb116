// SPDX-License-Identifier: Apache-2.0
//
// The port through which a large file is read piece by piece, wherever it lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// Some bytes of a source. A value.
struct ByteView {
  std::span<const std::byte> bytes;
  /// Keeps them; empty where the source does for as long as it lives.
  std::shared_ptr<const std::vector<std::byte>> owner;
};

/// The contents do not change while it is open. Thread: any.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Returns: bytes [offset, offset + count). Requires: they are inside. Errors: of the source as a whole, not of the
  /// place, such as Unavailable.
  virtual Result<ByteView> View(std::uint64_t offset, std::uint64_t count) const = 0;
};

/// Each View reads its bytes. Errors: those of ReadHandle::Open; of a View those of ReadHandle::FillAt.
Result<std::unique_ptr<ByteSource>> OpenFileBytes(const std::filesystem::path& path);

}  // namespace ferment::io
