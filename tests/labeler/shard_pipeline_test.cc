// SPDX-License-Identifier: Apache-2.0
#include "labeler/shard_pipeline.h"

#include <gtest/gtest.h>

#include "common/dataset/jpeg_encoder.h"
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
    const auto red = static_cast<std::uint8_t>(32 + 64 * (index % 4));
    dataset::Image face{16, 16, {}};
    for (int i = 0; i < 256; ++i) face.rgb.insert(face.rgb.end(), {red, red, red});
    auto bytes = dataset::EncodeJpeg(face, 95);
    if (!bytes) return Fail(bytes.error());
    return dataset::EncodedRecord(KeyAt(index), std::move(*bytes));
  }
};

dataset::LabelSet LabelFlatFaces(int threads, testing_support::ScriptedAnnotator& annotator) {
  const FlatFaces source;
  std::atomic<std::uint64_t> done = 0;
  auto set = ShardPipeline(source, annotator, {1.0, 0.6}, threads).Run({5, 40}, {}, done);
  EXPECT_TRUE(set) << set.error().message();
  EXPECT_EQ(done, 40U);
  return *set;
}

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

TEST(ShardPipeline, ThreadsDoNotChangeTheResult) {
  testing_support::ScriptedAnnotator one(8), four(8);
  const auto a = LabelFlatFaces(1, one);
  const auto b = LabelFlatFaces(4, four);
  EXPECT_EQ(a.label, b.label);
  EXPECT_EQ(a.probabilities_half, b.probabilities_half);
  EXPECT_EQ(one.sizes(), four.sizes());
}

TEST(ShardPipeline, StopsWhenAskedAndRefusesAShardPastTheEnd) {
  const FlatFaces source;
  testing_support::ScriptedAnnotator annotator(8);
  std::atomic<std::uint64_t> done = 0;
  std::stop_source stop;
  ShardPipeline pipeline(source, annotator, {1.0, 0.6}, 2);
  EXPECT_EQ(pipeline.Run({45, 6}, {}, done).error().code(), StatusCode::kOutOfRange);
  stop.request_stop();
  EXPECT_EQ(pipeline.Run({0, 50}, stop.get_token(), done).error().code(), StatusCode::kCancelled);
}

TEST(ShardPipeline, DamageIsTooMuchPastTheLimitAndNotAtIt) {
  EXPECT_FALSE(TooDamaged({100, 99, 0, 1}, 0.01));
  EXPECT_TRUE(TooDamaged({100, 98, 0, 2}, 0.01));
  EXPECT_FALSE(TooDamaged({100, 0, 0, 100}, 1.0));
}

}  // namespace
}  // namespace ferment::labeler
