// SPDX-License-Identifier: Apache-2.0
#include "common/io/checksum.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "common/io/atomic_file.h"

namespace ferment::io {
namespace {

TEST(Checksum, Sha256IsThatOfTheStandard) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Checksum, AFileHasTheDigestOfItsBytes) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "checksum_abc";
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view("abc")).ok());
  EXPECT_EQ(*Sha256OfFile(path), Sha256Hex("abc"));
  EXPECT_EQ(Sha256OfFile(path / "missing").error().code(), StatusCode::kNotFound);
}

TEST(Checksum, Crc32IsThatOfZip) {
  EXPECT_EQ(Crc32(std::as_bytes(std::span(std::string_view("123456789")))), 0xCBF43926U);
}

TEST(Checksum, Crc32cIsThatOfRfc3720) {
  EXPECT_EQ(Crc32c(std::as_bytes(std::span(std::string_view("123456789")))), 0xE3069283U);
  EXPECT_EQ(Crc32c(std::vector<std::byte>(32)), 0x8A9136AAU);
  EXPECT_EQ(Crc32c({}), 0U);
}

}  // namespace
}  // namespace ferment::io
