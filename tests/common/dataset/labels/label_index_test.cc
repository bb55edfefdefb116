// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/labels/label_index.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_folders.h"

namespace ferment::dataset {
namespace {

using testing::HasSubstr;

const LabelOrigin kOrigin = {"faces", std::string(64, 'a'), std::string(64, 'b')};

LabelSet OneRecord(std::uint64_t shard, std::uint64_t key) {
  LabelSet labels;
  labels.origin = kOrigin;
  labels.shard = shard;
  labels.classes = {"Neutral"};
  labels.key = {key};
  labels.label = {0};
  labels.confidence_half = {0x3C00};
  labels.probabilities_half = {0x3C00};
  labels.status = {LabelStatus::kLabelled};
  return labels;
}

class LabelIndexTest : public testing::Test {
 protected:
  LabelIndexTest() : folder_(std::filesystem::path(testing::TempDir()) / "label_index") {
    std::filesystem::remove_all(folder_);
  }

  LabelFile Commit(const LabelSet& labels) {
    const auto file = WriteLabelSet(folder_, labels);
    EXPECT_TRUE(file);
    EXPECT_TRUE(CommitToLabelIndex(folder_, labels.shard, *file));
    return *file;
  }

  const std::filesystem::path folder_;
};

TEST_F(LabelIndexTest, NamesWhatWasCommitted) {
  const LabelFile second = Commit(OneRecord(1, 20));
  const LabelFile first = Commit(OneRecord(0, 10));
  const auto index = ReadLabelIndex(folder_);
  ASSERT_TRUE(index);
  EXPECT_EQ(*index, (LabelIndex{{0, first}, {1, second}}));
  const auto sets = ReadLabelSets(folder_, kOrigin);
  ASSERT_TRUE(sets) << sets.error().ToString();
  ASSERT_EQ(sets->size(), 2u);
  EXPECT_EQ((*sets)[1].key, std::vector<std::uint64_t>{20});
}

TEST_F(LabelIndexTest, IsTheSameInPiecesAndNamesAnyFile) {
  const LabelFile odd{"a \"name\"\n\\ \xC3\xA4.npz", std::string(64, 'e'), {5, 3, 1, 1}};
  const LabelFile plain{"b.npz", std::string(64, 'f'), {18446744073709551615U, 0, 0, 0}};
  LabelIndexText text;
  std::string pieces = text.Take();
  text.Add(7, odd);
  pieces += text.Take();
  text.Add(1'234'567, plain);
  pieces += text.TakeEnd();
  ASSERT_TRUE(CommitToLabelIndex(folder_, 1'234'567, plain) && CommitToLabelIndex(folder_, 7, odd));
  std::ifstream file(LabelIndexFile(folder_));
  EXPECT_EQ(pieces, std::string(std::istreambuf_iterator<char>(file), {}));
  EXPECT_EQ(*ReadLabelIndex(folder_), (LabelIndex{{7, odd}, {1'234'567, plain}}));
  EXPECT_EQ(LabelIndexText().TakeEnd(), "{\"shards\": {\n}}\n");
  EXPECT_THAT(pieces,
              HasSubstr(R"("1234567": {"file":"b.npz","sha256":")" + plain.sha256 +
                        R"(","counts":{"read":18446744073709551615,"labelled":0,"abstained":0,"quarantined":0}})"));
}

TEST_F(LabelIndexTest, IgnoresAFileThatWasNotCommitted) {
  Commit(OneRecord(0, 10));
  ASSERT_TRUE(WriteLabelSet(folder_, OneRecord(1, 20)));
  EXPECT_EQ(ReadLabelSets(folder_, kOrigin)->size(), 1u);
}

TEST_F(LabelIndexTest, TakesTheSameCommitTwiceButNoOtherForTheShard) {
  const LabelFile file = Commit(OneRecord(0, 10));
  EXPECT_EQ(CommitToLabelIndex(folder_, 0, file), false) << "it was there";
  const auto other = WriteLabelSet(folder_, OneRecord(0, 11));
  ASSERT_TRUE(other);
  EXPECT_EQ(CommitToLabelIndex(folder_, 0, *other).error().code(), StatusCode::kAlreadyExists);
}

TEST_F(LabelIndexTest, OfManyWhoCommitAtOnceNobodyUndoesAnothersEntry) {
  constexpr std::uint64_t kWriters = 8, kEach = 20;
  {
    std::vector<std::jthread> writers;
    for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([this, writer] {
        for (std::uint64_t shard = writer; shard < kWriters * kEach; shard += kWriters) {
          EXPECT_EQ(CommitToLabelIndex(folder_, shard, {"a.npz", "a", {1, 1, 0, 0}}), true);
        }
      });
    }
  }
  EXPECT_EQ(ReadLabelIndex(folder_)->size(), kWriters * kEach);
}

TEST_F(LabelIndexTest, WhoWaitsForAnotherProcessCanBeStopped) {
  Commit(OneRecord(0, 10));
  const int other = open((folder_ / kLabelIndexLock).c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  std::stop_source stop;
  Result<bool> committed;
  std::jthread waiting([&] { committed = CommitToLabelIndex(folder_, 1, {"a.npz", "a", {}}, stop.get_token()); });
  stop.request_stop();
  waiting.join();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code(), StatusCode::kCancelled) << committed.error().ToString();
  EXPECT_EQ(ReadLabelIndex(folder_)->size(), 1U);
  close(other);
  EXPECT_TRUE(CommitToLabelIndex(folder_, 1, {"a.npz", "a", {}}));
}

TEST_F(LabelIndexTest, SaysThatThereAreNoLabelSets) {
  const auto sets = ReadLabelSets(folder_, kOrigin);
  ASSERT_FALSE(sets);
  EXPECT_EQ(ProcessExitCode(sets.error()), exit_code::kBadData);
  EXPECT_THAT(std::string(sets.error().message()), HasSubstr("label phase"));
}

TEST_F(LabelIndexTest, RefusesLabelsOfAnotherTeacher) {
  Commit(OneRecord(0, 10));
  LabelOrigin other = kOrigin;
  other.teacher = std::string(64, 'c');
  EXPECT_EQ(ReadLabelSets(folder_, other).error().code(), StatusCode::kDataLoss);
}

TEST_F(LabelIndexTest, RefusesShardsWhoseKeysOverlap) {
  Commit(OneRecord(0, 10));
  Commit(OneRecord(1, 10));
  EXPECT_THAT(std::string(ReadLabelSets(folder_, kOrigin).error().message()), HasSubstr("keys of the shard before"));
}

TEST_F(LabelIndexTest, AFolderWhoseShardsAreOutOfOrderIsNotSound) {
  Commit(OneRecord(0, 10));
  Commit(OneRecord(1, 9));
  const auto found = CheckLabelFolder({folder_, folder_ / "elsewhere"});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->faults.size(), 1U);
  EXPECT_THAT(found->faults.front(), HasSubstr("keys reach into those of a shard before: first=9 last_before=10"));
}

TEST_F(LabelIndexTest, RefusesADamagedIndex) {
  for (const char* text : {"", "{", "{\"shards\": 3}", "{\"shards\": null}", "{\"shards\": []}",
                           R"({"shards": {"x": {"file": "a", "sha256": "b", "counts": {}}}})",
                           R"({"shards": {"0": {"file": "../a", "sha256": "b", "counts": {}}}})"}) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "index.json") << text;
    const auto index = ReadLabelIndex(folder_);
    ASSERT_FALSE(index) << text;
    EXPECT_THAT(std::string(index.error().message()), HasSubstr("index.json"));
  }
}

TEST_F(LabelIndexTest, LabelsArePlacedOnceAFileAndNoMereFolderSaysWhere) {
  std::stop_source stop;
  stop.request_stop();
  const auto place = [&] { return PlaceLabels(folder_, "run", "s3://bucket/labels", stop.get_token()); };
  std::filesystem::create_directories(folder_ / "labels" / "faces" / "teacher");
  EXPECT_FALSE(place().ok()) << "it turns to the store, which it may not wait for";
  std::ofstream(folder_ / "labels" / "faces" / ".store.json.1-2-3.ferment-tmp") << "killed";
  EXPECT_FALSE(place().ok());
  std::ofstream(folder_ / "labels" / "faces" / "teacher" / "000000-a.npz") << "a label set";
  EXPECT_TRUE(place().ok());
}

TEST_F(LabelIndexTest, OfMoreBytesThanAJobsIsNotRead) {
  Commit(OneRecord(0, 10));
  std::filesystem::resize_file(LabelIndexFile(folder_), 300'000'000);
  EXPECT_THAT(std::string(ReadLabelIndex(folder_).error().message()),
              HasSubstr("index.json bytes=300000000 allowed=268435456"));
}

TEST_F(LabelIndexTest, DigestFollowsTheShards) {
  const LabelIndex one = {{0, {"a", "aa", {}}}};
  const LabelIndex two = {{0, {"a", "aa", {}}}, {1, {"b", "bb", {}}}};
  EXPECT_NE(LabelIndexDigest(one), LabelIndexDigest(two));
  EXPECT_EQ(LabelIndexDigest(one), LabelIndexDigest(LabelIndex(one)));
}

}  // namespace
}  // namespace ferment::dataset
