// SPDX-License-Identifier: Apache-2.0
#include "common/io/checksum.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <array>
#include <boost/crc.hpp>

#include "common/base/check.h"
#include "common/io/mapped_file.h"

namespace ferment::io {

std::string Sha256Hex(std::span<const std::byte> bytes) {
  std::array<unsigned char, 32> digest = {};
  unsigned int size = 0;
  const int done = EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  FERMENT_CHECK(done == 1 && size == digest.size()) << "OpenSSL has no SHA-256";
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string Sha256Hex(std::string_view text) { return Sha256Hex(std::as_bytes(std::span(text))); }

Result<std::string> Sha256OfFile(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Sha256Hex(file.bytes());
}

std::uint32_t Crc32(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::uint32_t Crc32c(std::span<const std::byte> bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> sum;
  sum.process_bytes(bytes.data(), bytes.size());
  return sum.checksum();
}

}  // namespace ferment::io
