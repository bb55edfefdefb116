// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/safetensors_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "common/base/json.h"
#include "common/io/atomic_file.h"
#include "common/io/formats/safetensors_header.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(FERMENT_FIXTURES) / "safetensors";

std::filesystem::path Temporary(const char* name) { return std::filesystem::path(::testing::TempDir()) / name; }

float FirstFloat(const TensorView& view) {
  float value = 0;
  std::memcpy(&value, view.data.data(), sizeof(value));
  return value;
}

TEST(SafetensorsFile, EveryMalformedFileGetsTheReferenceLibrarysVerdict) {
  const Json expected = *ParseJson(*ReadTextFile(kFolder / "malformed" / "expected.json"));
  ASSERT_EQ(expected.size(), 23U);
  for (const auto& [name, entry] : expected.items()) {
    const auto file = SafetensorsFile::Open(kFolder / "malformed" / name);
    EXPECT_EQ(file.has_value(), entry["outcome"] == "ok") << name << (file ? "" : file.error().ToString());
    if (!file) {
      EXPECT_EQ(file.error().code(), StatusCode::kDataLoss) << name;
      EXPECT_NE(file.error().message().find(name), std::string_view::npos);
    }
  }
}

TEST(SafetensorsFile, OddButValidFilesHoldTheirValues) {
  const auto padded = *SafetensorsFile::Open(kFolder / "malformed" / "padded_header.safetensors");
  EXPECT_EQ(FirstFloat(*padded.Find("a")), 1.5F);
  const auto unordered = *SafetensorsFile::Open(kFolder / "malformed" / "unordered.safetensors");
  EXPECT_EQ(FirstFloat(*unordered.Find("a")), 1.5F);
  EXPECT_EQ(FirstFloat(*unordered.Find("b")), 2.5F);
}

TEST(SafetensorsFile, EveryTypeShapeAndMetadataOfTheReferenceLibraryIsRead) {
  const Json expected = *ParseJson(*ReadTextFile(kFolder / "expected.json"));
  const std::map<std::string, std::string> types = {{"float32", "F32"}, {"float16", "F16"}, {"bfloat16", "BF16"},
                                                    {"float64", "F64"}, {"int64", "I64"},   {"int32", "I32"},
                                                    {"uint8", "U8"},    {"bool", "BOOL"}};
  for (const auto& [name, entry] : expected.items()) {
    SCOPED_TRACE(name);
    const auto file = SafetensorsFile::Open(kFolder / name);
    ASSERT_TRUE(file.has_value()) << file.error().ToString();
    EXPECT_EQ(file->tensors().size(), entry["tensors"].size());
    for (const auto& [tensor, wanted] : entry["tensors"].items()) {
      const auto view = *file->Find(tensor);
      EXPECT_EQ(view.dtype, types.at(wanted["dtype"].get<std::string>()));
      EXPECT_EQ(view.shape, wanted["shape"].get<std::vector<std::int64_t>>());
      if (tensor == "scalar") {
        EXPECT_EQ(FirstFloat(view), 2.5F);
      }
      if (tensor == "f32") {
        EXPECT_EQ(FirstFloat(view), wanted["values"][0][0].get<float>());
      }
    }
    const auto metadata =
        entry["metadata"].is_null() ? SafetensorsMetadata() : entry["metadata"].get<SafetensorsMetadata>();
    EXPECT_EQ(file->metadata(), metadata);
  }
}

TEST(SafetensorsFile, WritesAlignedDataInTheGivenOrderAndReadsItBack) {
  const std::vector<float> weights = {1, 2, 3};
  const std::vector<std::uint8_t> mask = {7};
  const std::int64_t steps = 9;
  const NamedTensorViews tensors = {{"mask", {"U8", {1}, std::as_bytes(std::span(mask))}},
                                    {"weights", {"F32", {3}, std::as_bytes(std::span(weights))}},
                                    {"empty", {"F32", {0, 8}, {}}},
                                    {"steps", {"I64", {}, std::as_bytes(std::span(&steps, 1))}}};
  const auto path = Temporary("written.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"classes", "a,b"}}).ok());
  EXPECT_EQ(*ReadFile(path), *SafetensorsBytes(tensors, {{"classes", "a,b"}}));
  const auto file = *SafetensorsFile::Open(path);
  ASSERT_EQ(file.tensors().size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(file.tensors()[i].first, tensors[i].first);
    const auto data = file.tensors()[i].second.data;
    EXPECT_EQ(std::vector(data.begin(), data.end()),
              std::vector(tensors[i].second.data.begin(), tensors[i].second.data.end()));
    const auto address = reinterpret_cast<std::uintptr_t>(data.data());
    EXPECT_EQ(address % SafetensorsElementBytes(file.tensors()[i].second.dtype), 0U);
  }
  EXPECT_EQ(file.metadata().at("classes"), "a,b");
  EXPECT_EQ(file.Find("none").error().code(), StatusCode::kNotFound);
}

TEST(SafetensorsFile, WritesTheSameFileAsItRead) {
  const auto first = *SafetensorsFile::Open(kFolder / "all_types.safetensors");
  const auto bytes = *SafetensorsBytes(first.tensors(), first.metadata());
  const auto path = Temporary("again.safetensors");
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  const auto second = *SafetensorsFile::Open(path);
  EXPECT_EQ(*SafetensorsBytes(second.tensors(), second.metadata()), bytes);
}

TEST(SafetensorsFile, RefusesToWriteWhatItCouldNotRead) {
  const std::vector<float> weights = {1, 2, 3};
  const TensorView view = {"F32", {3}, std::as_bytes(std::span(weights))};
  EXPECT_FALSE(SafetensorsBytes({{"a", view}, {"a", view}}).has_value());
  EXPECT_FALSE(SafetensorsBytes({{"a", {"F32", {4}, view.data}}}).has_value());
  EXPECT_FALSE(SafetensorsBytes({{"a", {"Q7", {3}, view.data}}}).has_value());
}

TEST(SafetensorsFile, NoCutOrFlippedByteCrashesTheReader) {
  const auto whole = *ReadFile(kFolder / "all_types.safetensors");
  const auto path = Temporary("torn.safetensors");
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    ASSERT_TRUE(WriteFileAtomically(path, std::span(whole).first(size)).ok());
    EXPECT_FALSE(SafetensorsFile::Open(path).has_value()) << size;
  }
}

}  // namespace
}  // namespace ferment::io
