// SPDX-License-Identifier: Apache-2.0
#include "common/io/checksum.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <array>
#include <boost/crc.hpp>
#include <memory>
#include <vector>

#include "common/base/check.h"
#include "common/io/read_handle.h"

namespace ferment::io {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

class Sha256 {
 public:
  Sha256() : state_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    FERMENT_CHECK(state_ && EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr) == 1) << "OpenSSL has no SHA-256";
  }
  void Add(std::span<const std::byte> bytes) {
    FERMENT_CHECK(EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string Hex() {
    std::array<unsigned char, 32> digest = {};
    FERMENT_CHECK(EVP_DigestFinal_ex(state_.get(), digest.data(), nullptr) == 1);
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * digest.size());
    for (const unsigned char byte : digest) {
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    }
    return text;
  }

 private:
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state_;
};

}  // namespace

std::string Sha256Hex(std::span<const std::byte> bytes) {
  Sha256 sum;
  sum.Add(bytes);
  return sum.Hex();
}

std::string Sha256Hex(std::string_view text) { return Sha256Hex(std::as_bytes(std::span(text))); }

Result<std::string> Sha256OfFile(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const ReadHandle file, ReadHandle::Open(path));
  Sha256 sum;
  std::vector<std::byte> piece(kPieceBytes);
  std::size_t got = piece.size();
  for (std::uint64_t at = 0; got == piece.size(); at += got) {
    FERMENT_ASSIGN_OR_RETURN(got, file.ReadAt(at, piece));
    sum.Add(std::span(piece).first(got));
  }
  return sum.Hex();
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
