// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/npz_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "common/io/formats/half_float.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(FERMENT_FIXTURES) / "numpy";

NpzWriter Sample() {
  NpzWriter writer;
  const std::vector<std::uint64_t> keys = {1, 5, 7};
  const std::vector<std::uint8_t> labels = {0, 255, 3};
  writer.Add("key", MakeNpyArray<std::uint64_t>("<u8", {3}, keys));
  writer.Add("label", MakeNpyArray<std::uint8_t>("|u1", {3}, labels));
  return writer;
}

TEST(NpzFile, NumpysStoredAndDeflatedFilesHoldTheExpectedValues) {
  const Json expected = *ParseJson(*ReadTextFile(kFolder / "npz_expected.json"));
  for (const Json& file : expected["files"]) {
    SCOPED_TRACE(file.get<std::string>());
    const auto arrays = ReadNpz(kFolder / file.get<std::string>());
    ASSERT_TRUE(arrays.has_value()) << arrays.error().ToString();
    const Json& members = expected["members"];
    EXPECT_EQ(*NpyValues<std::uint64_t>(arrays->at("key"), "<u8"),
              members["key"]["values"].get<std::vector<std::uint64_t>>());
    EXPECT_EQ(*NpyValues<std::uint8_t>(arrays->at("label"), "|u1"),
              members["label"]["values"].get<std::vector<std::uint8_t>>());
    EXPECT_EQ(arrays->at("meta").dtype[1], file == "pseudo_unicode_meta.npz" ? 'U' : 'u');
  }
}

TEST(NpzFile, UnicodeMetaIsReadAsText) {
  const Json expected = *ParseJson(*ReadTextFile(kFolder / "npz_expected.json"));
  const auto arrays = *ReadNpz(kFolder / "pseudo_unicode_meta.npz");
  EXPECT_EQ(NpyText(arrays.at("meta"))->at(0), expected["meta_text"].get<std::string>());
}

TEST(NpzFile, EmptyMembersKeepTheirShape) {
  const auto arrays = ReadNpz(kFolder / "empty_members.npz");
  ASSERT_TRUE(arrays.has_value()) << arrays.error().ToString();
  for (const auto& [name, array] : *arrays) EXPECT_TRUE(array.size() == 0 || name == "meta") << name;
}

TEST(NpzFile, EqualContentIsEqualBytesAndReadsBack) {
  const auto bytes = Sample().Finish();
  EXPECT_EQ(bytes, Sample().Finish());
  const auto arrays = *ParseNpz(bytes);
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_EQ(*NpyValues<std::uint64_t>(arrays.at("key"), "<u8"), (std::vector<std::uint64_t>{1, 5, 7}));
}

TEST(NpzFile, ATornFileIsRefusedAtEveryLength) {
  const auto whole = Sample().Finish();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto arrays = ParseNpz(std::span(whole).first(size));
    ASSERT_FALSE(arrays.has_value()) << size;
    EXPECT_EQ(arrays.error().code(), StatusCode::kDataLoss);
  }
}

TEST(NpzFile, AFlippedBitOfAMemberFailsItsCrc) {
  auto bytes = Sample().Finish();
  bytes[30 + 7 + 128] ^= std::byte{4};
  const auto arrays = ParseNpz(bytes);
  ASSERT_FALSE(arrays.has_value());
  EXPECT_NE(arrays.error().message().find("member key.npy"), std::string_view::npos);
}

TEST(NpzFile, NoFlippedByteCrashesTheReader) {
  const auto deflated = *ReadFile(kFolder / "pseudo_deflate.npz");
  for (std::size_t at = 0; at < deflated.size(); ++at) {
    auto damaged = deflated;
    damaged[at] ^= std::byte{0xFF};
    [[maybe_unused]] const auto arrays = ParseNpz(damaged);
  }
}

TEST(NpzFile, TheMessageNamesTheFile) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "torn.npz";
  ASSERT_TRUE(WriteFileAtomically(path, std::string_view("PK")).ok());
  EXPECT_NE(ReadNpz(path).error().message().find("torn.npz"), std::string_view::npos);
  EXPECT_EQ(ReadNpz(path.parent_path() / "none.npz").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::io
