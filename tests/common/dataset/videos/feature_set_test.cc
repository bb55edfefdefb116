// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/videos/feature_set.h"

#include <gtest/gtest.h>

#include "common/io/atomic_file.h"

namespace ferment::dataset {
namespace {

FeatureSet TwoFrames() {
  return {.dataset = "aff-wild2",
          .video = "video86_3",
          .model = "abc",
          .classes = {"Neutral", "Anger"},
          .frame = {1, 4},
          .features = {0.5F, 1, 2, 3, 4, 5},
          .logits = {1, 2, 3, 4}};
}

std::filesystem::path Write(const FeatureSet& set) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "feature_set_test.npz";
  EXPECT_TRUE(io::WriteFileAtomically(path, FeatureSetBytes(set)).ok());
  return path;
}

TEST(FeatureSet, ComesBackAsItWasWritten) {
  const auto read = ReadFeatureSet(Write(TwoFrames()));
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->video, "video86_3");
  EXPECT_EQ(read->frame, TwoFrames().frame);
  EXPECT_EQ(read->features, TwoFrames().features);
  EXPECT_EQ(read->logits, TwoFrames().logits);
  EXPECT_EQ(read->feature_size(), 3U);
}

TEST(FeatureSet, EqualContentIsEqualBytes) { EXPECT_EQ(FeatureSetBytes(TwoFrames()), FeatureSetBytes(TwoFrames())); }

TEST(FeatureSet, AVideoWithoutAFaceIsAnEmptySet) {
  FeatureSet set = TwoFrames();
  set.frame.clear();
  set.features.clear();
  set.logits.clear();
  const auto read = ReadFeatureSet(Write(set));
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_TRUE(read->frame.empty());
}

TEST(FeatureSet, RefusesArraysThatDoNotFitTogether) {
  FeatureSet set = TwoFrames();
  set.logits.pop_back();
  EXPECT_EQ(ReadFeatureSet(Write(set)).error().code(), StatusCode::kDataLoss);
  EXPECT_EQ(ReadFeatureSet("/nonexistent/x.npz").error().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ferment::dataset
