// SPDX-License-Identifier: Apache-2.0
//
// Tensors by name in a safetensors file: read whole, written with equal bytes for equal content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// One tensor, C order, little-endian. Owns nothing.
struct TensorView {
  /// "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "F8_E4M3", "F8_E5M2".
  std::string dtype;
  /// Empty for a scalar.
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

using NamedTensorViews = std::vector<std::pair<std::string, TensorView>>;
using SafetensorsMetadata = std::map<std::string, std::string>;

/// Owns the bytes that its views point into. Thread: any.
class SafetensorsFile {
 public:
  /// Errors: those of ReadFile; DataLoss with file and place for anything malformed.
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);

  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  /// In the order of the header, which the writer below keeps. A view's data may be unaligned for its type: copy, never
  /// cast.
  const NamedTensorViews& tensors() const { return tensors_; }
  const SafetensorsMetadata& metadata() const { return metadata_; }
  /// Errors: NotFound with the name and the file.
  Result<TensorView> Find(std::string_view name) const;

 private:
  SafetensorsFile(std::filesystem::path path, std::vector<std::byte> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}
  std::filesystem::path path_;
  std::vector<std::byte> bytes_;
  NamedTensorViews tensors_;
  SafetensorsMetadata metadata_;
};

/// Returns: the file's bytes. The header lists tensors in the given order and is padded to 8 bytes; data lie by falling
/// element size, so that every tensor is aligned. Errors: InvalidArgument for an unknown dtype, a name twice, or data
/// of another size than the shape's.
Result<std::vector<std::byte>> SafetensorsBytes(const NamedTensorViews& tensors,
                                                const SafetensorsMetadata& metadata = {});

/// Writes atomically; `may_appear` is WriteFileAtomically's. Errors: those of SafetensorsBytes and of
/// WriteFileAtomically.
Status WriteSafetensors(const std::filesystem::path& path, const NamedTensorViews& tensors,
                        const SafetensorsMetadata& metadata = {}, const std::function<Status()>& may_appear = nullptr);

}  // namespace ferment::io
