// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/insightface_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/text_lines.h"
#include "common/io/local_file_system.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

enum class Order { kOld, kNew, kHeaderFirst };

/// Three pictures of two identities: keys 1..3, H0 = 4, H1 = 6.
PackBuilder ThreePictures(Order order, std::uint32_t picture_flag = 2, bool with_ids = true) {
  PackBuilder pack;
  const auto header = [&] { pack.AppendIndexed(0, ImagePayload(2, {4, 6}, "")); };
  const auto id = [with_ids](std::uint64_t key) { return with_ids ? key : 0; };
  const auto pictures = [&] {
    for (std::uint64_t key = 1; key <= 3; ++key)
      pack.AppendIndexed(key,
                         ImagePayload(picture_flag, {0, 1}, Fixture("jpeg/rgb.jpg") + std::string(key, 'x'), id(key)));
  };
  const auto identities = [&] {
    pack.AppendIndexed(4, ImagePayload(2, {1, 3}, "", id(4)));
    pack.AppendIndexed(5, ImagePayload(2, {3, 4}, "", id(5)));
  };
  if (order == Order::kHeaderFirst) header();
  pictures();
  if (order == Order::kOld) header();
  identities();
  if (order == Order::kNew) header();
  return pack;
}

std::vector<std::uint64_t> Keys(const RecordSource& source) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t i = 0; i < source.size(); ++i) keys.push_back(source.KeyAt(i));
  return keys;
}

/// Returns: reason by key of every record that cannot be read or decoded.
std::map<std::uint64_t, std::string> Damage(const RecordSource& source) {
  std::map<std::uint64_t, std::string> reasons;
  for (std::uint64_t i = 0; i < source.size(); ++i) {
    const auto record = source.Read(i);
    const auto image = record ? DecodePicture(record->image) : Result<Image>(Fail(record.error()));
    if (!image) {
      EXPECT_EQ(image.error().code(), StatusCode::kDataLoss);
      reasons[source.KeyAt(i)] = DamageReason(image.error());
    }
  }
  return reasons;
}

TEST(InsightfaceSource, Check7FindsTheHeaderFirstInTheMiddleAndLast) {
  for (const Order order : {Order::kHeaderFirst, Order::kOld, Order::kNew}) {
    for (const std::uint32_t flag : {0U, 2U}) {
      const auto pack = OpenInsightfacePack(ThreePictures(order, flag).Write("order"));
      ASSERT_TRUE(pack.has_value()) << pack.error().ToString();
      EXPECT_EQ(Keys(**pack), (std::vector<std::uint64_t>{1, 2, 3}));
      EXPECT_EQ((*pack)->facts().identity_records, 2U);
      EXPECT_TRUE((*pack)->facts().has_header);
      EXPECT_TRUE((*pack)->facts().oddities.empty());
      EXPECT_TRUE(Damage(**pack).empty());
    }
  }
}

TEST(InsightfaceSource, Check7AnAbsentKey0LeavesPicturesOnly) {
  PackBuilder pack;
  for (std::uint64_t key = 1; key <= 3; ++key)
    pack.AppendIndexed(key, ImagePayload(2, {0, 1}, Fixture("jpeg/rgb.jpg")));
  pack.AppendIndexed(4, ImagePayload(2, {1, 4}, ""));
  const auto source = OpenInsightfacePack(pack.Write("absent"));
  EXPECT_EQ(Keys(**source), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_FALSE((*source)->facts().oddities.empty());
}

TEST(InsightfaceSource, AnIm2recPackUsesEveryKeyAlsoWithSeveralLabels) {
  for (const std::uint32_t flag : {0U, 2U}) {
    PackBuilder pack;
    for (std::uint64_t key = 0; key < 3; ++key)
      pack.AppendIndexed(key, ImagePayload(flag, {4, 6}, Fixture("jpeg/rgb.jpg")));
    const auto source = OpenInsightfacePack(pack.Write("im2rec"));
    EXPECT_EQ(Keys(**source), (std::vector<std::uint64_t>{0, 1, 2}));
    EXPECT_FALSE((*source)->facts().has_header);
  }
}

TEST(InsightfaceSource, EveryKindOfDamageIsNamedAndItsNeighboursStaySound) {
  PackBuilder pack;
  const Bytes jpeg = Fixture("jpeg/rgb.jpg");
  const auto picture = [&](const Bytes& bytes) { return ImagePayload(2, {0, 1}, bytes); };
  pack.AppendIndexed(0, ImagePayload(2, {12, 12}, ""));
  pack.AppendIndexed(1, picture(jpeg));
  pack.AppendIndexed(2, picture(jpeg.substr(0, jpeg.size() / 2)));
  pack.AppendIndexed(3, picture("this is text"));
  pack.AppendIndexed(4, picture(""));
  pack.AppendIndexed(5, "");
  const std::uint64_t bad = pack.Append(picture(jpeg));
  pack.Index(6, bad);
  pack.rec()[bad] = '\0';
  const std::uint64_t shortened = pack.Append(picture(jpeg));
  pack.Index(7, shortened);
  pack.rec().replace(shortened + 4, 4, std::string("\x40\x01\0\0", 4));
  const std::uint64_t twice = pack.Append(picture(jpeg));
  pack.Index(8, twice);
  pack.Index(8, bad);
  pack.AppendIndexed(9, picture(Fixture("jpeg/cmyk.jpg")));
  pack.Index(10, 1U << 30);
  const std::uint64_t last = pack.Append(picture(jpeg));
  pack.Index(11, last);
  pack.rec().resize(pack.rec().size() - 100);
  const auto source = OpenInsightfacePack(pack.Write("damage"));
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  const std::map<std::uint64_t, std::string> expected = {
      {2, "jpeg-truncated"}, {3, "not-a-jpeg"},       {4, "jpeg-empty"},        {5, "record-empty"},
      {6, "bad-magic"},      {7, "length-too-short"}, {8, "idx-duplicate-key"}, {9, "jpeg-cmyk"},
      {10, "idx-past-end"},  {11, "tail-truncated"}};
  EXPECT_EQ(Damage(**source), expected);
}

TEST(InsightfaceSource, AMessageNamesKeyAndPlace) {
  PackBuilder pack = ThreePictures(Order::kOld);
  pack.Index(2, 4);
  const auto source = OpenInsightfacePack(pack.Write("message"));
  const auto record = (*source)->Read(1);
  ASSERT_FALSE(record.has_value());
  EXPECT_NE(record.error().message().find("key=2"), std::string_view::npos) << record.error().ToString();
}

TEST(InsightfaceSource, PicturesMissingFromTheIndexAreCountedAndBrokenLinesPassedOver) {
  PackBuilder pack;
  pack.AppendIndexed(0, ImagePayload(2, {4, 4}, ""));
  pack.AppendIndexed(1, ImagePayload(2, {0, 1}, Fixture("jpeg/rgb.jpg")));
  pack.IndexRaw("garbage\n2 \n");
  const auto source = OpenInsightfacePack(pack.Write("missing"));
  EXPECT_EQ((*source)->size(), 1U);
  EXPECT_EQ((*source)->facts().oddities.size(), 3U);
}

std::filesystem::path WriteWithoutIndex(const PackBuilder& pack, const std::string& name) {
  const auto folder = pack.Write(name);
  std::filesystem::remove(folder / "train.idx");
  return folder;
}

bool HasOddity(const PackFacts& facts, std::string_view text) {
  return std::any_of(facts.oddities.begin(), facts.oddities.end(),
                     [&](const std::string& oddity) { return oddity.find(text) != std::string::npos; });
}

TEST(InsightfaceSource, Check7WithoutAnIndexTheSamePicturesHaveTheSameKeysInEveryOrder) {
  for (const Order order : {Order::kHeaderFirst, Order::kOld, Order::kNew}) {
    for (const bool with_ids : {true, false}) {
      const PackBuilder pack = ThreePictures(order, 2, with_ids);
      const auto indexed = OpenInsightfacePack(pack.Write("indexed"));
      const auto source = OpenInsightfacePack(WriteWithoutIndex(pack, "unindexed"));
      ASSERT_TRUE(source.has_value()) << source.error().ToString();
      EXPECT_EQ(Keys(**source), (std::vector<std::uint64_t>{1, 2, 3}));
      for (std::uint64_t i = 0; i < 3; ++i)
        EXPECT_EQ((*source)->Read(i)->image.size(), (*indexed)->Read(i)->image.size()) << i;
      EXPECT_TRUE(HasOddity((*source)->facts(), "no .idx"));
      EXPECT_TRUE(HasOddity((*source)->facts(), with_ids ? "ids in the image headers" : "positions"));
      EXPECT_EQ((*source)->facts().index_lines, 0U);
    }
  }
}

TEST(InsightfaceSource, WithoutAnIndexAnIm2recPackStartsAtItsFirstId) {
  for (const bool with_ids : {true, false}) {
    PackBuilder pack;
    for (std::uint64_t key = 0; key < 3; ++key)
      pack.Append(ImagePayload(0, {4}, Fixture("jpeg/rgb.jpg"), with_ids ? key : 7));
    const auto source = OpenInsightfacePack(WriteWithoutIndex(pack, "im2rec"));
    ASSERT_TRUE(source.has_value()) << source.error().ToString();
    EXPECT_EQ(Keys(**source), (std::vector<std::uint64_t>{0, 1, 2}));
    EXPECT_TRUE(Damage(**source).empty());
  }
}

TEST(InsightfaceSource, WithoutAnIndexEveryPictureOfTheHeaderIsReadOrQuarantined) {
  const auto picture = [](std::uint64_t id) { return ImagePayload(2, {0, 1}, Fixture("jpeg/rgb.jpg"), id); };
  PackBuilder pack;
  pack.Append(ImagePayload(2, {7, 7}, ""));
  pack.Append(picture(1));
  pack.rec()[pack.Append(picture(2))] = '\0';
  pack.Append("");
  pack.rec().replace(pack.Append(picture(4)) + 4, 4, std::string("\xF0\xFF\xFF\x0F", 4));
  pack.rec().replace(pack.Append(picture(5)) + 4, 4, std::string("\x40\x01\0\0", 4));
  pack.Append(picture(6));
  pack.rec().resize(pack.rec().size() - 100);
  const auto source = OpenInsightfacePack(WriteWithoutIndex(pack, "rebuilt-damage"));
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  EXPECT_EQ(Keys(**source), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6}));
  const std::map<std::uint64_t, std::string> expected = {{2, "record-missing"},
                                                         {3, "record-missing"},
                                                         {4, "length-too-long"},
                                                         {5, "jpeg-truncated"},
                                                         {6, "tail-truncated"}};
  EXPECT_EQ(Damage(**source), expected);
}

TEST(InsightfaceSource, WithoutAnIndexAHeaderThatCountsFarTooManyIsNotBelieved) {
  PackBuilder pack;
  pack.Append(ImagePayload(2, {1e9F, 1e9F}, ""));
  pack.Append(ImagePayload(2, {0, 1}, Fixture("jpeg/rgb.jpg"), 1));
  const auto source = OpenInsightfacePack(WriteWithoutIndex(pack, "boast"));
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  EXPECT_EQ(Keys(**source), std::vector<std::uint64_t>{1});
}

TEST(InsightfaceSource, AnIndexWithoutALineIsRefusedAndACutOneIsAnOddity) {
  const PackBuilder pack = ThreePictures(Order::kHeaderFirst);
  const auto folder = pack.Write("cut-index");
  const std::string index = io::ReadTextFile(folder / "train.idx").value_or("");
  WriteText(folder / "train.idx", "\n");
  EXPECT_EQ(ProcessExitCode(OpenInsightfacePack(folder).error()), exit_code::kBadData);
  WriteText(folder / "train.idx", index.substr(0, index.find("\n2\t") + 1));
  const auto source = OpenInsightfacePack(folder);
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  EXPECT_EQ(Keys(**source), std::vector<std::uint64_t>{1});
  EXPECT_TRUE(HasOddity((*source)->facts(), "2 of the header's 3 pictures are not in the index"));
}

TEST(InsightfaceSource, APngRecordIsReadAsAJpegRecordIs) {
  PackBuilder pack;
  pack.AppendIndexed(0, ImagePayload(0, {4}, Fixture("png/rgb.png")));
  pack.AppendIndexed(1, ImagePayload(0, {4}, Fixture("png/rgb.png").substr(0, 60)));
  pack.AppendIndexed(2, ImagePayload(0, {4}, "neither"));
  const auto source = OpenInsightfacePack(pack.Write("png"));
  EXPECT_EQ(Damage(**source), (std::map<std::uint64_t, std::string>{{1, "png-broken"}, {2, "not-a-jpeg"}}));
}

TEST(InsightfaceSource, AMissingOrEmptyPackIsExitCode65) {
  EXPECT_EQ(ProcessExitCode(OpenInsightfacePack("/nonexistent").error()), exit_code::kBadData);
  EXPECT_EQ(ProcessExitCode(OpenInsightfacePack(FreshFolder("nopack")).error()), exit_code::kBadData);
  EXPECT_EQ(ProcessExitCode(OpenInsightfacePack(PackBuilder().Write("emptypack")).error()), exit_code::kBadData);
}

TEST(RecordSource, FindsAKeyByBisection) {
  const auto source = OpenInsightfacePack(ThreePictures(Order::kOld).Write("bisect"));
  EXPECT_EQ(IndexOfKey(**source, 3), 2U);
  EXPECT_EQ(IndexOfKey(**source, 4), std::nullopt);
  EXPECT_EQ(IndexOfKey(**source, 0), std::nullopt);
}

/// Returns: the keys that damage.csv expects to be quarantined, and its kinds.
std::map<std::uint64_t, std::string> QuarantineList(const std::filesystem::path& folder) {
  std::map<std::uint64_t, std::string> expected;
  const std::string text = io::ReadTextFile(folder / "damage.csv").value_or("");
  for (const std::string_view line : SplitLines(text)) {
    const auto fields = SplitCsv(line);
    if (fields[3] == "quarantine") expected[std::stoull(fields[0])] = fields[2];
  }
  return expected;
}

constexpr char kNoRealFaces[] = "FERMENT_REAL_FACES is not set: it names the folder real-faces of the test data";

class RealPack : public ::testing::TestWithParam<const char*> {};

TEST_P(RealPack, QuarantinesWhatDamageCsvListsAndNothingElse) {
  if (RealFaces().empty()) GTEST_SKIP() << kNoRealFaces;
  const auto folder = RealFaces() / GetParam();
  const auto source = OpenInsightfacePack(folder);
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  EXPECT_EQ(Damage(**source), QuarantineList(folder));
}

TEST_P(RealPack, WithoutItsIndexHasTheSameKeysAndTheSameDamageButTheIndexs) {
  if (RealFaces().empty()) GTEST_SKIP() << kNoRealFaces;
  const auto folder = RealFaces() / GetParam();
  const auto bare = FreshFolder("bare");
  std::filesystem::create_symlink(folder / "train.rec", bare / "train.rec");
  const auto indexed = OpenInsightfacePack(folder);
  const auto source = OpenInsightfacePack(bare);
  ASSERT_TRUE(source.has_value()) << source.error().ToString();
  EXPECT_EQ(Keys(**source), Keys(**indexed));
  auto expected = QuarantineList(folder);
  std::erase_if(expected, [](const auto& entry) { return entry.second.starts_with("idx-"); });
  for (auto& [key, kind] : expected) {
    // Neither can tell its key any more; the header counts them.
    if (kind == "bad-magic" || kind == "record-empty") kind = "record-missing";
    // No index says where the next record begins: its picture shows it.
    if (kind == "length-too-short") kind = "jpeg-truncated";
  }
  EXPECT_EQ(Damage(**source), expected);
}

TEST(RealPacks, HoldThePicturesThatTheirReadmeCounts) {
  if (RealFaces().empty()) GTEST_SKIP() << kNoRealFaces;
  const std::map<std::string, std::uint64_t> pictures = {{"fr", 8486}, {"fr_damaged", 480}, {"fr_damaged_light", 400}};
  for (const auto& [name, count] : pictures) {
    const auto source = OpenInsightfacePack(RealFaces() / name);
    ASSERT_TRUE(source.has_value()) << source.error().ToString();
    EXPECT_EQ((*source)->size(), count);
    EXPECT_TRUE((*source)->facts().has_header);
  }
}

INSTANTIATE_TEST_SUITE_P(OfTheSharedFaces, RealPack, ::testing::Values("fr", "fr_damaged", "fr_damaged_light"));

}  // namespace
}  // namespace ferment::dataset
