// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/records/recordio_writer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/dataset/records/recordio_reader.h"

namespace ferment::dataset {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(RecordioWriter, PayloadsComeBackWhereverTheMagicStands) {
  const auto stem = std::filesystem::path(testing::TempDir()) / "writer";
  const std::vector<std::vector<std::byte>> payloads = {
      {},
      Bytes({1}),
      Bytes({1, 2, 3, 4, 5}),
      Bytes({0x0A, 0x23, 0xD7, 0xCE}),
      Bytes({0x0A, 0x23, 0xD7, 0xCE, 0x0A, 0x23, 0xD7, 0xCE, 9}),
      Bytes({7, 0x0A, 0x23, 0xD7, 0xCE, 8, 8, 8}),
      Bytes({1, 2, 3, 4, 0x0A, 0x23, 0xD7, 0xCE}),
      Bytes({1, 2, 3, 4, 0x0A, 0x23, 0xD7, 0xCE, 5, 6, 7}),
  };
  auto writer = RecordioWriter::Create(stem);
  ASSERT_TRUE(writer) << writer.error().ToString();
  for (std::size_t i = 0; i < payloads.size(); ++i) ASSERT_TRUE(writer->Write(i + 1, payloads[i]).ok());
  ASSERT_TRUE(writer->Finish().ok());

  const auto reader = RecordioReader::Open(stem.string() + ".rec");
  ASSERT_TRUE(reader);
  std::ifstream index(stem.string() + ".idx");
  std::uint64_t key = 0, offset = 0;
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    ASSERT_TRUE(index >> key >> offset);
    EXPECT_EQ(key, i + 1);
    const auto record = reader->ReadAt(offset);
    ASSERT_TRUE(record) << record.error().ToString();
    EXPECT_EQ(std::vector<std::byte>(record->payload().begin(), record->payload().end()), payloads[i]) << i;
  }
  EXPECT_EQ(reader->ScanRange(0, reader->size_bytes())->records.size(), payloads.size());
}

TEST(RecordioWriter, SaysThatItsFolderIsMissing) {
  const auto writer = RecordioWriter::Create("/nowhere/train");
  ASSERT_FALSE(writer);
  EXPECT_EQ(ProcessExitCode(writer.error()), exit_code::kCannotWrite);
}

}  // namespace
}  // namespace ferment::dataset
