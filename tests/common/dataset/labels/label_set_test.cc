// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>

#include "common/base/instruction_set.h"
#include "common/base/json.h"
#include "common/io/formats/half_float.h"
#include "common/io/formats/npz_file.h"
#include "common/io/formats/zip_archive.h"

namespace ferment::dataset {
namespace {

using testing::HasSubstr;

LabelSet ThreeRecords() {
  LabelSet labels;
  labels.origin = {"faces", std::string(64, 'a'), std::string(64, 'b')};
  labels.shard = 3;
  labels.classes = {"Neutral", "Anger"};
  labels.key = {10, 11, 40};
  labels.label = {1, 0, kNoLabel};
  const auto half = [](float value) { return io::HalfFromFloat(value); };
  labels.confidence_half = {half(0.75F), half(0.5F), 0};
  labels.probabilities_half = {half(0.25F), half(0.75F), half(0.5F), half(0.5F), 0, 0};
  labels.status = {LabelStatus::kLabelled, LabelStatus::kAbstained, LabelStatus::kQuarantined};
  labels.reasons = {{"jpeg-truncated", 1}};
  return labels;
}

std::filesystem::path FreshFolder(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("label_set_" + name);
  std::filesystem::remove_all(folder);
  return folder;
}

TEST(LabelSet, IsReadBackAsItWasWritten) {
  const auto folder = FreshFolder("round");
  const auto written = WriteLabelSet(folder, ThreeRecords());
  ASSERT_TRUE(written) << written.error().ToString();
  EXPECT_EQ(written->file, "000003-" + written->sha256.substr(0, 16) + ".npz");
  EXPECT_EQ(written->counts, (LabelCounts{3, 1, 1, 1}));
  const auto read = ReadLabelSet(folder, *written);
  ASSERT_TRUE(read) << read.error().ToString();
  const LabelSet expected = ThreeRecords();
  EXPECT_EQ(read->origin, expected.origin);
  EXPECT_EQ(read->shard, 3u);
  EXPECT_EQ(read->classes, expected.classes);
  EXPECT_EQ(read->key, expected.key);
  EXPECT_EQ(read->label, expected.label);
  EXPECT_EQ(read->confidence_half, expected.confidence_half);
  EXPECT_EQ(read->probabilities_half, expected.probabilities_half);
  EXPECT_EQ(read->status, expected.status);
  EXPECT_EQ(read->reasons, expected.reasons);
}

TEST(LabelSet, OfEqualContentIsEqualBytes) {
  EXPECT_EQ(*LabelSetBytes(ThreeRecords()), *LabelSetBytes(ThreeRecords()));
}

TEST(LabelSet, HasTheMembersThatOthersRead) {
  const auto arrays = io::ParseNpz(*LabelSetBytes(ThreeRecords()));
  ASSERT_TRUE(arrays);
  std::map<std::string, std::string> types;
  for (const auto& [name, array] : *arrays) types[name] = array.dtype;
  EXPECT_EQ(types, (std::map<std::string, std::string>{{"key", "<u8"},
                                                       {"label", "|u1"},
                                                       {"confidence", "<f2"},
                                                       {"probabilities", "<f2"},
                                                       {"status", "|u1"},
                                                       {"meta", "|u1"}}));
  EXPECT_EQ(arrays->at("probabilities").shape, (std::vector<std::int64_t>{3, 2}));
}

TEST(LabelSet, RefusesAFileThatIsNotTheCommittedOne) {
  const auto folder = FreshFolder("swapped");
  auto written = WriteLabelSet(folder, ThreeRecords());
  ASSERT_TRUE(written);
  std::fstream(folder / written->file, std::ios::in | std::ios::out | std::ios::binary).seekp(60).put('x');
  const auto read = ReadLabelSet(folder, *written);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(read.error().message()), HasSubstr(written->file));
}

TEST(LabelSet, RefusesATornFileAndAMissingOne) {
  const auto bytes = *LabelSetBytes(ThreeRecords());
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, bytes.size() / 2, bytes.size() - 1})
    EXPECT_FALSE(ParseLabelSet(std::span(bytes).first(size))) << size;
  EXPECT_EQ(ReadLabelSet(FreshFolder("missing"), {"000000-x.npz", "", {}}).error().code(), StatusCode::kNotFound);
}

TEST(LabelSet, ReasonsAreCountedInWholeRecords) {
  const std::vector<std::byte> sound = *LabelSetBytes(ThreeRecords());
  auto arrays = *io::ParseNpz(sound);
  const std::vector<std::byte> meta = arrays.at("meta").data;
  const std::string text(reinterpret_cast<const char*>(meta.data()), meta.size());
  for (const char* reasons :
       {R"({"a":-1,"b":2})", R"({"a":1.9})", R"({"a":18446744073709551615,"b":2})", R"([1])", "null"}) {
    const Json wrong = [&] {
      Json json = *ParseJson(text);
      json["reasons"] = *ParseJson(reasons);
      return json;
    }();
    const std::string changed = wrong.dump();
    io::NpzWriter npz;
    for (const auto& [name, array] : arrays) {
      if (name != "meta") npz.Add(name, array);
    }
    npz.Add("meta", io::MakeNpyArray<char>("|u1", {static_cast<std::int64_t>(changed.size())}, changed));
    const auto read = ParseLabelSet(npz.Finish());
    ASSERT_FALSE(read) << reasons;
    EXPECT_EQ(read.error().code(), StatusCode::kDataLoss) << reasons;
  }
}

TEST(LabelSet, OfMoreThanAShardCanHaveIsNotUnpacked) {
  std::vector<std::byte> bytes = *LabelSetBytes(ThreeRecords());
  const auto magic = std::as_bytes(std::span(&io::kZipCentralMagic, 1));
  const auto entry = std::search(bytes.begin(), bytes.end(), magic.begin(), magic.end());
  ASSERT_NE(entry, bytes.end());
  constexpr std::ptrdiff_t kMethod = 10, kPlainBytes = 24;
  constexpr std::uint32_t kThreeGigabytes = 3'000'000'000;
  entry[kMethod] = std::byte{8};
  std::memcpy(&entry[kPlainBytes], &kThreeGigabytes, sizeof kThreeGigabytes);
  const auto read = ParseLabelSet(bytes);
  ASSERT_FALSE(read);
  EXPECT_THAT(std::string(read.error().message()), HasSubstr("member=key.npy bytes=3000000000 allowed="));
}

TEST(LabelSet, OfMoreBytesThanAShardCanHaveIsNotRead) {
  const auto folder = FreshFolder("large");
  const auto written = WriteLabelSet(folder, ThreeRecords());
  ASSERT_TRUE(written);
  std::filesystem::resize_file(folder / written->file, 70'000'000);
  EXPECT_THAT(std::string(ReadLabelSet(folder, *written).error().message()),
              HasSubstr(written->file + " bytes=70000000 allowed=67108864"));
}

TEST(LabelSet, IsNotWrittenWhenItContradictsItself) {
  LabelSet keys_fall = ThreeRecords();
  std::swap(keys_fall.key[0], keys_fall.key[1]);
  EXPECT_EQ(LabelSetBytes(keys_fall).error().code(), StatusCode::kInvalidArgument);
  LabelSet unexplained = ThreeRecords();
  unexplained.reasons.clear();
  EXPECT_THAT(std::string(LabelSetBytes(unexplained).error().message()), HasSubstr("quarantined=1"));
  LabelSet short_column = ThreeRecords();
  short_column.label.pop_back();
  EXPECT_FALSE(LabelSetBytes(short_column));
}

TEST(LabelConfigDigest, ChangesWithWhatDecidesLabels) {
  RunSpec spec;
  const std::string base = LabelConfigDigest(spec, "fp32", "avx2");
  EXPECT_EQ(base.size(), 64u);
  EXPECT_NE(base, LabelConfigDigest(spec, "bf16", "avx2"));
  EXPECT_NE(base, LabelConfigDigest(spec, "fp32", "avx512"));
  RunSpec warmer = spec;
  warmer.mutable_labeling()->set_tau(2);
  EXPECT_NE(base, LabelConfigDigest(warmer, "fp32", "avx2"));
  RunSpec more_labelers = spec;
  more_labelers.mutable_labeling()->set_labelers(9);
  EXPECT_EQ(base, LabelConfigDigest(more_labelers, "fp32", "avx2"));
}

TEST(LabelConfigDigest, IsAnothersOnGpusWhichOnlyTheSpecDecides) {
  RunSpec spec;
  spec.mutable_labeling()->set_device("auto");
  spec.mutable_resources()->set_device("auto");
  EXPECT_EQ(ArithmeticInUse(spec), InstructionSetClass());
  spec.mutable_resources()->set_device("cuda");
  EXPECT_EQ(ArithmeticInUse(spec), kCudaClass);
  spec.mutable_labeling()->set_device("cpu");
  EXPECT_EQ(ArithmeticInUse(spec), InstructionSetClass());
  spec.mutable_resources()->set_device("cpu");
  spec.mutable_labeling()->set_device("cuda");
  EXPECT_EQ(ArithmeticInUse(spec), kCudaClass);
}

}  // namespace
}  // namespace ferment::dataset
