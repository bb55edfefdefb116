// SPDX-License-Identifier: Apache-2.0
#include "labeler/shard_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>

#include "common/dataset/pictures/jpeg_encoder.h"
#include "common/dataset/pictures/picture_file.h"
#include "common/io/formats/half_float.h"
#include "tests/support/scripted_annotator.h"

namespace ferment::labeler {
namespace {

/// Flat faces whose red tells the class; every seventh record is damaged.
class FlatFaces final : public dataset::RecordSource {
 public:
  std::uint64_t size() const override { return 50; }
  std::uint64_t KeyAt(std::uint64_t index) const override { return 100 + index; }
  Result<dataset::EncodedRecord> Read(std::uint64_t index) const override {
    if (index % 7 == 6) return Fail(DataLossError("bad-magic: record=" + std::to_string(index)));
    return dataset::EncodedRecord(KeyAt(index), FlatFace(static_cast<int>(index % 4)));
  }
  static std::vector<std::byte> FlatFace(int label) {
    const auto red = static_cast<std::uint8_t>(32 + 64 * label);
    dataset::Image face{16, 16, {}};
    for (int i = 0; i < 256; ++i) face.rgb.insert(face.rgb.end(), {red, red, red});
    return *dataset::EncodeJpeg(face, 95);
  }
};

LabelledShard LabelShard(int threads, Annotator& annotator, std::span<const dataset::LabelledFace> canaries) {
  const FlatFaces source;
  std::atomic<std::uint64_t> done = 0;
  auto shard = ShardPipeline(source, annotator, {1.0, 0.6}, threads).Run({5, 40}, canaries, {}, done);
  EXPECT_TRUE(shard) << shard.error().message();
  EXPECT_EQ(done, 40U);
  return *shard;
}

dataset::LabelSet LabelFlatFaces(int threads, testing_support::ScriptedAnnotator& annotator) {
  return LabelShard(threads, annotator, {}).set;
}

/// Returns: `count` flat faces on disk, labelled by `label_of(i)`.
std::vector<dataset::LabelledFace> Canaries(int count, const std::function<int(int)>& label_of) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "canaries";
  std::filesystem::create_directories(folder);
  std::vector<dataset::LabelledFace> canaries;
  for (int i = 0; i < count; ++i) {
    const auto file = folder / (std::to_string(i) + ".jpg");
    EXPECT_TRUE(dataset::WritePicture(file, FlatFaces::FlatFace(i % 4)).ok());
    canaries.push_back({.file = file, .path = file.filename(), .label = label_of(i), .box = {}});
  }
  return canaries;
}

void Tear(const dataset::LabelledFace& face) { std::ofstream(face.file) << "no picture"; }

TEST(ShardPipeline, EveryRecordIsInTheSetOnceAndInOrder) {
  testing_support::ScriptedAnnotator annotator(16);
  const auto set = LabelFlatFaces(2, annotator);
  ASSERT_EQ(set.size(), 40U);
  for (std::size_t i = 0; i < set.size(); ++i) {
    EXPECT_EQ(set.key[i], 105 + i);
    const bool damaged = (5 + i) % 7 == 6;
    EXPECT_EQ(set.label[i], damaged ? dataset::kNoLabel : (5 + i) % 4);
    EXPECT_EQ(set.status[i], damaged ? dataset::LabelStatus::kQuarantined : dataset::LabelStatus::kLabelled);
  }
  const auto counts = set.Counts();
  EXPECT_EQ(counts.read, counts.labelled + counts.abstained + counts.quarantined);
  EXPECT_EQ(set.reasons.at("bad-magic"), counts.quarantined);
  EXPECT_EQ(annotator.sizes(), (std::vector<std::size_t>{16, 16, 8}));
}

TEST(ShardPipeline, CountsTheConfidencesOfReadableRecordsAloneAsStored) {
  const auto canaries = Canaries(5, [](int i) { return i % 4; });
  testing_support::ScriptedAnnotator annotator(16);
  const LabelledShard shard = LabelShard(2, annotator, canaries);
  metrics::Distribution expected;
  for (std::size_t i = 0; i < shard.set.size(); ++i) {
    if (shard.set.status[i] == dataset::LabelStatus::kQuarantined) continue;
    expected.Observe(io::FloatFromHalf(shard.set.confidence_half[i]), metrics::kConfidenceBounds);
  }
  EXPECT_EQ(shard.confidence, expected);
  EXPECT_EQ(std::accumulate(expected.counts.begin(), expected.counts.end(), 0U), 40U - 6U);
}

TEST(ShardPipeline, ThreadsDoNotChangeTheResult) {
  testing_support::ScriptedAnnotator one(8), four(8);
  const auto a = LabelFlatFaces(1, one);
  const auto b = LabelFlatFaces(4, four);
  EXPECT_EQ(a.label, b.label);
  EXPECT_EQ(a.probabilities_half, b.probabilities_half);
  EXPECT_EQ(one.sizes(), four.sizes());
}

TEST(ShardPipeline, CountsCanariesAndTheyLeaveNoTraceInTheSet) {
  const auto canaries = Canaries(21, [](int i) { return i % 3 == 0 ? (i + 1) % 4 : i % 4; });
  for (const std::size_t batch : {1, 8, 16, 64}) {
    testing_support::ScriptedAnnotator alone(batch), among(batch);
    const LabelledShard without = LabelShard(1, alone, {});
    const LabelledShard with = LabelShard(3, among, canaries);
    EXPECT_EQ(without.canaries, CanaryCounts());
    EXPECT_EQ(with.canaries, (CanaryCounts{14, 21}));
    EXPECT_EQ(with.set.key, without.set.key);
    EXPECT_EQ(with.set.label, without.set.label);
    EXPECT_EQ(with.set.probabilities_half, without.set.probabilities_half);
    EXPECT_EQ(with.set.reasons, without.set.reasons);
    EXPECT_EQ(among.sizes().size(), alone.sizes().size() + (21 + batch - 1) / batch) << "batches of their own";
  }
}

TEST(ShardPipeline, ADamagedCanaryIsNoAnswerAndAllOfThemDamagedFailTheShard) {
  const auto canaries = Canaries(3, [](int i) { return i; });
  Tear(canaries[1]);
  testing_support::ScriptedAnnotator annotator(8);
  EXPECT_EQ(LabelShard(2, annotator, canaries).canaries, (CanaryCounts{2, 2}));
  Tear(canaries[0]);
  Tear(canaries[2]);
  const FlatFaces source;
  std::atomic<std::uint64_t> done = 0;
  ShardPipeline pipeline(source, annotator, {1.0, 0.6}, 2);
  auto failed = pipeline.Run({0, 8}, canaries, {}, done);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(failed.error().message()), ::testing::HasSubstr("data.fer.validation"));
  std::filesystem::remove(canaries[0].file);
  failed = pipeline.Run({0, 8}, canaries, {}, done);
  ASSERT_FALSE(failed);
  EXPECT_THAT(std::string(failed.error().message()), ::testing::HasSubstr("reading a canary of data.fer.validation"));
}

TEST(ShardPipeline, LogitsThatAreNotFiniteAreWrongAnswers) {
  class Nonsense final : public Annotator {
   public:
    std::size_t batch() const override { return 8; }
    std::size_t classes() const override { return 4; }
    Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
      return Annotation{std::vector<float>(faces.size() * 4, std::nanf("")), std::vector<float>(faces.size())};
    }
  } annotator;
  EXPECT_EQ(LabelShard(2, annotator, Canaries(4, [](int i) { return i; })).canaries, (CanaryCounts{0, 4}));
}

TEST(ShardPipeline, StopsWhenAskedAndRefusesAShardPastTheEnd) {
  const FlatFaces source;
  testing_support::ScriptedAnnotator annotator(8);
  std::atomic<std::uint64_t> done = 0;
  std::stop_source stop;
  ShardPipeline pipeline(source, annotator, {1.0, 0.6}, 2);
  EXPECT_EQ(pipeline.Run({45, 6}, {}, {}, done).error().code(), StatusCode::kOutOfRange);
  stop.request_stop();
  EXPECT_EQ(pipeline.Run({0, 50}, {}, stop.get_token(), done).error().code(), StatusCode::kCancelled);
}

TEST(ShardPipeline, DamageIsTooMuchPastTheLimitAndNotAtIt) {
  EXPECT_FALSE(TooDamaged({100, 99, 0, 1}, 0.01));
  EXPECT_TRUE(TooDamaged({100, 98, 0, 2}, 0.01));
  EXPECT_FALSE(TooDamaged({100, 0, 0, 100}, 1.0));
}

}  // namespace
}  // namespace ferment::labeler
