// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/recordio_reader.h"

#include <gtest/gtest.h>

#include "common/dataset/records/record_source.h"
#include "tests/common/dataset/pack_builder.h"

namespace ferment::dataset {
namespace {

RecordioReader Open(const PackBuilder& pack, const std::string& name = "recordio") {
  auto reader = RecordioReader::Open(pack.Write(name) / "train.rec");
  return *std::move(reader);
}

Bytes PayloadOf(const RawRecord& record) {
  return {reinterpret_cast<const char*>(record.payload().data()), record.payload().size()};
}

RecordioReader::Scan Scan(const RecordioReader& reader, std::uint64_t begin, std::uint64_t end) {
  return reader.ScanRange(begin, end).value_or(RecordioReader::Scan());
}

std::string ReasonAt(const RecordioReader& reader, std::uint64_t offset) {
  const auto record = reader.ReadAt(offset);
  return record ? "" : DamageReason(record.error());
}

/// The payloads of check 7: the magic everywhere it hurts, and every length modulo 4.
std::vector<Bytes> AwkwardPayloads() {
  const Bytes magic = MagicBytes();
  return {"",
          "a",
          "abcd",
          "abcde",
          magic,
          magic + "x",
          "x" + magic,
          "abcd" + magic,
          magic + magic,
          "abcd" + magic + magic + "efgh",
          "ab" + magic + "cd",
          magic + "abcd" + magic,
          std::string(4, '\0'),
          std::string(1000, 'z'),
          magic + magic + magic};
}

TEST(RecordioReader, Check7GivesBackPayloadsThatHoldTheMagic) {
  PackBuilder pack;
  std::vector<std::uint64_t> offsets;
  for (const Bytes& payload : AwkwardPayloads()) offsets.push_back(pack.Append(payload));
  const RecordioReader reader = Open(pack);
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const auto record = reader.ReadAt(offsets[i]);
    ASSERT_TRUE(record.has_value()) << i << record.error().ToString();
    EXPECT_EQ(PayloadOf(*record), AwkwardPayloads()[i]) << i;
    EXPECT_EQ(record->end, i + 1 < offsets.size() ? offsets[i + 1] : reader.size_bytes());
    EXPECT_TRUE(record->followed);
  }
}

TEST(RecordioReader, Check7ResyncFromAnyByteRangeVisitsEachRecordOnce) {
  PackBuilder pack;
  std::vector<std::uint64_t> offsets;
  for (const Bytes& payload : AwkwardPayloads()) offsets.push_back(pack.Append(payload));
  const RecordioReader reader = Open(pack);
  for (std::uint64_t cut = 0; cut <= reader.size_bytes(); ++cut) {
    auto visited = Scan(reader, 0, cut);
    const auto rest = Scan(reader, cut, reader.size_bytes());
    visited.records.insert(visited.records.end(), rest.records.begin(), rest.records.end());
    ASSERT_EQ(visited.records, offsets) << cut;
    EXPECT_TRUE(visited.damage.empty() && rest.damage.empty());
  }
}

TEST(RecordioReader, Check7ATruncatedTailIsNamedAtEveryLength) {
  PackBuilder whole;
  whole.Append("first");
  const std::uint64_t last = whole.Append(std::string("the last record!") + MagicBytes());
  for (std::uint64_t size = last + 1; size < whole.rec().size(); ++size) {
    PackBuilder torn = whole;
    torn.rec().resize(size);
    const RecordioReader reader = Open(torn);
    const std::string reason = ReasonAt(reader, last);
    EXPECT_EQ(reason, "tail-truncated") << size;
    EXPECT_EQ(Scan(reader, 0, size).records.size(), 1U);
  }
}

TEST(RecordioReader, Check7AWrongMagicIsNamedAndAScanGoesOnAtTheNext) {
  PackBuilder pack;
  const std::uint64_t first = pack.Append("first");
  const std::uint64_t second = pack.Append("second");
  const std::uint64_t third = pack.Append("third");
  pack.rec()[second + 2] = '\x01';
  const RecordioReader reader = Open(pack);
  EXPECT_EQ(ReasonAt(reader, second), "bad-magic");
  const auto scan = Scan(reader, 0, reader.size_bytes());
  EXPECT_EQ(scan.records, (std::vector{first, third}));
  ASSERT_EQ(scan.damage.size(), 1U);
  EXPECT_EQ(scan.damage[0].first, second);
}

TEST(RecordioReader, ALengthPastTheEndIsNamedWithoutReadingThere) {
  PackBuilder pack;
  const std::uint64_t first = pack.Append("first");
  pack.Append("second");
  pack.rec().replace(first + 4, 4, std::string("\xF0\xFF\xFF\x0F", 4));
  const RecordioReader reader = Open(pack);
  EXPECT_EQ(ReasonAt(reader, first), "length-too-long");
  EXPECT_EQ(Scan(reader, 0, reader.size_bytes()).records.size(), 1U);
}

TEST(RecordioReader, OffsetsThatAreNoRecordAreRefused) {
  PackBuilder pack;
  pack.Append("first");
  const std::uint64_t split = pack.Append("abcd" + MagicBytes() + "efgh");
  const RecordioReader reader = Open(pack);
  EXPECT_EQ(ReasonAt(reader, reader.size_bytes()), "idx-past-end");
  EXPECT_EQ(ReasonAt(reader, ~std::uint64_t{0}), "idx-past-end");
  EXPECT_EQ(ReasonAt(reader, 4), "bad-magic");
  EXPECT_EQ(ReasonAt(reader, split + 12), "parts-broken");
}

TEST(RecordioReader, NoFlippedByteCrashesAScan) {
  PackBuilder pack;
  for (const Bytes& payload : AwkwardPayloads()) pack.Append(payload);
  const auto folder = FreshFolder("recordio-flip");
  for (std::size_t at = 0; at < pack.rec().size(); at += 3) {
    Bytes damaged = pack.rec();
    damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
    WriteText(folder / "train.rec", damaged);
    const auto reader = RecordioReader::Open(folder / "train.rec");
    ASSERT_TRUE(reader.has_value());
    const auto scan = Scan(*reader, 0, reader->size_bytes());
    EXPECT_LE(scan.records.size(), AwkwardPayloads().size() + 1);
  }
}

}  // namespace
}  // namespace ferment::dataset
