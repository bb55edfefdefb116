// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/base/json.h"
#include "common/io/formats/half_float.h"
#include "common/io/formats/torch_pickle.h"
#include "common/io/formats/zip_archive.h"

namespace ferment::io {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = std::string(FERMENT_FIXTURES) + "/torch/";

std::string Slurp(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

Json Expected() { return *ParseJson(Slurp(kFolder + "expected.json")); }

std::string RefusalOf(const std::string& name) {
  const auto file = ReadWeights(kFolder + name);
  if (file) return "read";
  EXPECT_EQ(file.error().code(), StatusCode::kDataLoss) << name;
  EXPECT_THAT(std::string(file.error().message()), HasSubstr(name));
  return std::string(file.error().message());
}

template <typename T>
T At(std::span<const std::byte> data, std::size_t i) {
  T value;
  std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
  return value;
}

double Value(const TensorView& view, std::size_t i) {
  if (view.dtype == "F32") return At<float>(view.data, i);
  if (view.dtype == "F64") return At<double>(view.data, i);
  if (view.dtype == "F16") return FloatFromHalf(At<std::uint16_t>(view.data, i));
  if (view.dtype == "BF16") return std::bit_cast<float>(std::uint32_t{At<std::uint16_t>(view.data, i)} << 16U);
  if (view.dtype == "I64") return static_cast<double>(At<std::int64_t>(view.data, i));
  if (view.dtype == "I32") return At<std::int32_t>(view.data, i);
  if (view.dtype == "I16") return At<std::int16_t>(view.data, i);
  if (view.dtype == "I8") return At<std::int8_t>(view.data, i);
  return At<std::uint8_t>(view.data, i);
}

void Flatten(const Json& values, std::vector<double>& flat) {
  if (values.is_array()) {
    for (const Json& value : values) Flatten(value, flat);
  } else if (values.is_string()) {
    flat.push_back(std::stod(values.get<std::string>()));
  } else {
    flat.push_back(values.is_boolean() ? values.get<bool>() : values.get<double>());
  }
}

TEST(TorchFile, ReadsEveryTypeAndViewAsPyTorchDoes) {
  std::size_t read = 0;
  const Json expected = Expected();
  for (const auto& [name, entry] : expected.items()) {
    if (entry["outcome"] != "ok" || entry["legacy"] == true) continue;
    SCOPED_TRACE(name);
    const auto file = ReadWeights(kFolder + name);
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(file->format, "torch");
    EXPECT_EQ(file->path, entry["path"].is_null() ? "" : entry["path"].get<std::string>());
    ASSERT_EQ(file->views.size(), entry["tensors"].size());
    for (const auto& [tensor, view] : file->views) {
      SCOPED_TRACE(tensor);
      const Json& wanted = entry["tensors"].at(tensor);
      EXPECT_EQ(view.shape, wanted["shape"].get<std::vector<std::int64_t>>());
      std::vector<double> flat;
      Flatten(wanted["values"], flat);
      for (std::size_t i = 0; i < flat.size(); ++i) {
        if (std::isnan(flat[i])) {
          EXPECT_TRUE(std::isnan(Value(view, i)));
        } else {
          EXPECT_EQ(Value(view, i), flat[i]) << i;
        }
      }
    }
    ++read;
  }
  EXPECT_EQ(read, 6U);
}

TEST(TorchFile, NamesWhatAMaliciousPickleWouldHaveCalled) {
  EXPECT_THAT(RefusalOf("evil_os_system.pt"), HasSubstr("asks for posix.system"));
  EXPECT_THAT(RefusalOf("evil_eval.pt"), HasSubstr("eval"));
  EXPECT_THAT(RefusalOf("whole_module.pt"), HasSubstr("save the state dict alone"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/ferment-pwned"));
}

TEST(TorchFile, SaysHowToSaveOldFormatsAnew) {
  for (const char* name : {"legacy.pt", "legacy_views.pt", "evil_legacy.pt", "plain_evil.pkl"})
    EXPECT_THAT(RefusalOf(name), HasSubstr("weights_only=True")) << name;
}

/// Returns: the file with a byte of the member changed, so that its CRC is wrong.
std::string WithMemberDamaged(const std::string& name, std::string_view suffix) {
  std::string text = Slurp(kFolder + name);
  const auto entries = ReadZipDirectory(Bytes(text));
  for (const ZipEntry& entry : entries.value()) {
    if (!entry.name.ends_with(suffix)) continue;
    std::uint16_t extra = 0;
    std::memcpy(&extra, text.data() + entry.local_offset + 28, sizeof(extra));
    text[entry.local_offset + 30 + entry.name.size() + extra] ^= 1;
  }
  return text;
}

TEST(TorchFile, RefusesThePickleBeforeItLooksAtAnyTensor) {
  const auto sound = ParseTorchZip(Bytes(WithMemberDamaged("state_dict.pt", "data/0")));
  ASSERT_FALSE(sound);
  EXPECT_THAT(std::string(sound.error().message()), HasSubstr("CRC differs"));
  const auto evil = ParseTorchZip(Bytes(WithMemberDamaged("evil_os_system.pt", "data/0")));
  ASSERT_FALSE(evil);
  EXPECT_THAT(std::string(evil.error().message()), HasSubstr("posix.system"));
}

TEST(TorchFile, RefusesAFileCutAtAnyByte) {
  const std::string whole = Slurp(kFolder + "views.pt");
  ASSERT_TRUE(ParseTorchZip(Bytes(whole)));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto file = ParseTorchZip(Bytes(whole.substr(0, size)));
    ASSERT_FALSE(file) << size;
    ASSERT_EQ(file.error().code(), StatusCode::kDataLoss);
  }
  EXPECT_THAT(RefusalOf("truncated.pt"), HasSubstr("cut short"));
}

/// A pickle, protocol 2, of {"w": a tensor of `shape` and `stride` in a storage of 8 floats}.
std::string Pickle(const std::string& shape, const std::string& stride, const std::string& offset = "K\x01") {
  const auto word = [](const std::string& text) {
    return "X" + std::string(1, static_cast<char>(text.size())) + std::string(3, '\0') + text;
  };
  return "\x80\x02}" + word("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + word("storage") +
         "ctorch\nFloatStorage\n" + word("0") + word("cpu") + "K\x08tQ" + offset + shape + stride + "\x89)tRs.";
}

TEST(TorchPickle, KeepsViewsInsideTheirStorage) {
  ASSERT_TRUE(ParseTorchPickle(Bytes(Pickle("K\x07\x85", "K\x01\x85"))));
  for (const auto& [shape, stride] : std::vector<std::pair<std::string, std::string>>{
           {"K\x08\x85", "K\x01\x85"},                                     // one past the end
           {"K\x02\x85", "K\x08\x85"},                                     // a stride past it
           {"K\x02\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"},  // overflow
           {"J\xff\xff\xff\xff\x85", "K\x01\x85"},                         // negative
           {"K\x01K\x02\x86", "K\x01\x85"},                                // fewer strides
           {"NN\x86", "K\x01\x85"}}) {
    const auto plan = ParseTorchPickle(Bytes(Pickle(shape, stride)));
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), StatusCode::kDataLoss);
    EXPECT_THAT(std::string(plan.error().message()), HasSubstr("tensor w"));
  }
}

TEST(TorchPickle, PrintsNoControlCharactersOfAName) {
  const auto plan =
      ParseTorchPickle(Bytes("\x80\x02"
                             "cos\n\x1b[2Jsystem\n."));
  ASSERT_FALSE(plan);
  EXPECT_THAT(std::string(plan.error().message()), HasSubstr("os.?[2Jsystem"));
}

TEST(TorchPickle, RefusesInstructionsThatMakeObjects) {
  for (const std::string code :
       {"\x80\x02}}\x81.", "\x80\x02(cos\nsystem\no.", "\x80\x02(ios\nsystem\n.", "\x80\x02Pid\n.", "\x80\x02\x82\x01.",
        "\x80\x02}K\x01"
        "b.",
        "\x80\x02))R.", "\x80\x02X\x02", "\x80\x02t.", "\x80\x02h\x07.",
        "\x80\x02"
        "a.",
        "\x80\x02(."}) {
    const auto plan = ParseTorchPickle(Bytes(code));
    ASSERT_FALSE(plan);
    EXPECT_THAT(std::string(plan.error().message()), HasSubstr("byte="));
  }
}

}  // namespace
}  // namespace ferment::io
