// SPDX-License-Identifier: Apache-2.0
//
// One array as numpy stores it (.npy, versions 1 to 3), read into one normal form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace ferment::io {

/// A value. Always C order and little-endian, whatever the file was.
struct NpyArray {
  /// "<u8", "|u1", "<f2", "<f4", "|b1", "<U12" ...
  std::string dtype;
  /// Empty for a scalar.
  std::vector<std::int64_t> shape;
  /// Elements of the array, not of the file: no header.
  std::vector<std::byte> data;

  /// Returns: number of elements; 1 for a scalar.
  std::int64_t size() const;
};

/// Returns: an array over a copy of the values. Requires: sizeof(T) is the dtype's, and the shape holds values.size()
/// elements.
template <typename T>
NpyArray MakeNpyArray(std::string dtype, std::vector<std::int64_t> shape, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {std::move(dtype), std::move(shape), {bytes.begin(), bytes.end()}};
}

/// Returns: the elements. Errors: DataLoss where the array's dtype is another.
template <typename T>
Result<std::vector<T>> NpyValues(const NpyArray& array, std::string_view dtype) {
  if (array.dtype != dtype || array.data.size() % sizeof(T) != 0)
    return Fail(DataLossError("array has another type: dtype=" + array.dtype + " expected=" + std::string(dtype)));
  std::vector<T> values(array.data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), array.data.data(), array.data.size());
  return values;
}

/// Returns: the elements of a "<Un" array as UTF-8, without their zero padding. Errors: DataLoss for another dtype or a
/// character that Unicode lacks.
Result<std::vector<std::string>> NpyText(const NpyArray& array);

/// Returns: the array in a .npy file's bytes. Errors: DataLoss for a wrong magic, version, header or dtype (objects are
/// pickles and never read), and where bytes are missing or left over; nothing is allocated before the sizes agree.
Result<NpyArray> ParseNpy(std::span<const std::byte> bytes);

/// Returns: the bytes of a version 1 .npy file, header padded to 64. Requires: data holds what dtype and shape ask for.
std::vector<std::byte> NpyBytes(const NpyArray& array);

}  // namespace ferment::io
