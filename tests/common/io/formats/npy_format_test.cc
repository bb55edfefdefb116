// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/npy_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "common/base/json.h"
#include "common/io/formats/half_float.h"
#include "common/io/formats/npz_file.h"
#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(FERMENT_FIXTURES) / "numpy";

Json Expected(const char* file) { return *ParseJson(*ReadTextFile(kFolder / file)); }

void Flatten(const Json& values, std::vector<Json>& flat) {
  if (!values.is_array()) return flat.push_back(values);
  for (const Json& value : values) Flatten(value, flat);
}

double NumberOf(const Json& value) {
  if (value == "inf") return INFINITY;
  if (value == "-inf") return -INFINITY;
  if (value == "nan") return NAN;
  return value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
}

template <typename T>
std::vector<double> Widened(const NpyArray& array) {
  const auto values = *NpyValues<T>(array, array.dtype);
  return {values.begin(), values.end()};
}

std::vector<double> Numbers(const NpyArray& array) {
  const std::string kind = array.dtype.substr(1);
  if (kind == "f8") return Widened<double>(array);
  if (kind == "f4") return Widened<float>(array);
  if (kind == "i8") return Widened<std::int64_t>(array);
  if (kind == "b1") return Widened<std::uint8_t>(array);
  std::vector<double> values;
  const auto halves = *NpyValues<std::uint16_t>(array, "<f2");
  for (const std::uint16_t half : halves) values.push_back(FloatFromHalf(half));
  return values;
}

void ExpectEqual(const NpyArray& array, const Json& entry) {
  EXPECT_EQ(array.shape, entry["shape"].get<std::vector<std::int64_t>>());
  std::vector<Json> flat;
  Flatten(entry["values"], flat);
  if (array.dtype[1] == 'U') {
    const auto texts = *NpyText(array);
    ASSERT_EQ(texts.size(), flat.size());
    for (std::size_t i = 0; i < flat.size(); ++i) EXPECT_EQ(texts[i], flat[i].get<std::string>());
    return;
  }
  const auto values = Numbers(array);
  ASSERT_EQ(values.size(), flat.size());
  for (std::size_t i = 0; i < flat.size(); ++i) {
    const double wanted = NumberOf(flat[i]);
    EXPECT_TRUE(std::isnan(wanted) ? std::isnan(values[i]) : values[i] == wanted)
        << i << ": " << values[i] << " " << wanted;
    EXPECT_EQ(std::signbit(values[i]) && !std::isnan(wanted), std::signbit(wanted) && !std::isnan(wanted)) << i;
  }
}

TEST(NpyFormat, EveryFileOfNumpyGetsItsVerdictAndItsValues) {
  const Json expected = Expected("npy_expected.json");
  ASSERT_GT(expected.size(), 20U);
  for (const auto& [name, entry] : expected.items()) {
    SCOPED_TRACE(name);
    const auto array = ReadNpy(kFolder / name);
    EXPECT_EQ(array.has_value(), entry["outcome"] == "ok") << (array ? "" : array.error().ToString());
    if (!array) {
      EXPECT_EQ(array.error().code(), StatusCode::kDataLoss);
    } else if (entry["outcome"] == "ok") {
      ExpectEqual(*array, entry);
    }
  }
}

TEST(NpyFormat, WritesWhatNumpyWrites) {
  const auto wanted = *ReadFile(kFolder / "header_v1.npy");
  EXPECT_EQ(NpyBytes(*ParseNpy(wanted)), wanted);
  const auto scalar = *ReadFile(kFolder / "scalar_f8.npy");
  EXPECT_EQ(NpyBytes(*ParseNpy(scalar)), scalar);
  const auto vector = *ReadFile(kFolder / "lnd_f8.npy");
  EXPECT_EQ(NpyBytes(*ParseNpy(vector)), vector);
}

TEST(NpyFormat, EveryPrefixOfAFileIsRefused) {
  const auto whole = *ReadFile(kFolder / "header_v1.npy");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ParseNpy(std::span(whole).first(size)).has_value()) << size;
}

TEST(NpyFormat, AnotherTypeThanAskedForIsRefusedByName) {
  const auto array = *ReadNpy(kFolder / "header_v1.npy");
  const auto values = NpyValues<std::uint64_t>(array, "<u8");
  ASSERT_FALSE(values.has_value());
  EXPECT_NE(values.error().message().find("<f4"), std::string_view::npos);
}

}  // namespace
}  // namespace ferment::io
