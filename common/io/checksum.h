// SPDX-License-Identifier: Apache-2.0
//
// Digests that name artefacts, and the check sums of others' formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace ferment::io {

/// Returns: the SHA-256 in 64 lower-case hex digits.
std::string Sha256Hex(std::span<const std::byte> bytes);
std::string Sha256Hex(std::string_view text);

/// Returns: the SHA-256 of the file's bytes, which are read piece by piece. Errors: those of ReadHandle.
Result<std::string> Sha256OfFile(const std::filesystem::path& path);

/// Returns: the CRC-32 of zip and PNG.
std::uint32_t Crc32(std::span<const std::byte> bytes);

/// Returns: Castagnoli's CRC-32, that of TensorFlow's records.
std::uint32_t Crc32c(std::span<const std::byte> bytes);

}  // namespace ferment::io
