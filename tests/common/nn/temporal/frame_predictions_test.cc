// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/frame_predictions.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/base/random.h"

namespace ferment::nn {
namespace {

FrameTable RandomProbabilities(std::size_t frames, std::size_t classes) {
  RandomSequence random(1, StreamOf("frame_predictions_test"));
  FrameTable logits(frames, classes);
  for (std::size_t i = 0; i < frames; ++i)
    for (float& value : logits.Row(i)) value = static_cast<float>(random.Normal());
  return Softmax(logits);
}

TEST(CutWindows, CoverEveryFrameAndAlignTheLastToTheRight) {
  EXPECT_EQ(CutWindows(0, 4, 2).size(), 0U);
  EXPECT_EQ(CutWindows(3, 4, 2), (std::vector<FrameWindow>{{0, 3}}));
  EXPECT_EQ(CutWindows(4, 4, 2), (std::vector<FrameWindow>{{0, 4}}));
  EXPECT_EQ(CutWindows(7, 4, 2), (std::vector<FrameWindow>{{0, 4}, {2, 4}, {3, 4}}));
  for (std::size_t frames = 1; frames < 200; ++frames) {
    std::vector<bool> seen(frames);
    for (const FrameWindow& w : CutWindows(frames, 64, 32))
      for (std::size_t i = w.begin; i < w.begin + w.length; ++i) seen.at(i) = true;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<std::ptrdiff_t>(frames));
  }
}

TEST(OverlapAverage, IsTheMeanOfTheWindowsThatSawAFrame) {
  OverlapAverage average(3, 1);
  average.Add({0, 2}, std::vector<float>{1, 2});
  average.Add({1, 2}, std::vector<float>{4, 5});
  const FrameTable mean = average.Mean();
  EXPECT_FLOAT_EQ(mean.Row(0)[0], 1);
  EXPECT_FLOAT_EQ(mean.Row(1)[0], 3);
  EXPECT_FLOAT_EQ(mean.Row(2)[0], 5);
}

TEST(FillGaps, InterpolatesInsideAndCopiesAtTheEnds) {
  FrameTable table(6, 2);
  table.Row(1)[0] = 1.0F;
  table.Row(4)[1] = 1.0F;
  const FrameTable filled = FillGaps(table, {false, true, false, false, true, false});
  EXPECT_FLOAT_EQ(filled.Row(0)[0], 1);
  EXPECT_FLOAT_EQ(filled.Row(2)[0], 2.0F / 3);
  EXPECT_FLOAT_EQ(filled.Row(2)[1], 1.0F / 3);
  EXPECT_FLOAT_EQ(filled.Row(3)[0], 1.0F / 3);
  EXPECT_FLOAT_EQ(filled.Row(5)[1], 1);
}

TEST(FillGaps, AVideoWithoutAFaceIsUniform) {
  const FrameTable filled = FillGaps(FrameTable(2, 4), {false, false});
  EXPECT_FLOAT_EQ(filled.Row(1)[3], 0.25F);
}

// method.md section 10, check 10.
TEST(BoxSmooth, Check10HalfWidthZeroIsIdentityAndConstantsStayConstant) {
  const FrameTable random = RandomProbabilities(50, 8);
  EXPECT_EQ(BoxSmooth(random, 0), random);
  FrameTable constant(30, 2);
  for (std::size_t i = 0; i < 30; ++i) constant.Row(i)[1] = 0.75F;
  EXPECT_EQ(BoxSmooth(constant, 7), constant);
  EXPECT_EQ(BoxSmooth(random, 500).frames(), random.frames());
}

TEST(BoxSmooth, AgreesWithADirectMean) {
  const FrameTable random = RandomProbabilities(40, 3);
  const FrameTable smooth = BoxSmooth(random, 5);
  for (std::size_t i = 0; i < 40; ++i) {
    const std::size_t begin = i > 5 ? i - 5 : 0;
    const std::size_t end = std::min<std::size_t>(i + 6, 40);
    double sum = 0;
    for (std::size_t j = begin; j < end; ++j) sum += random.Row(j)[1];
    EXPECT_NEAR(smooth.Row(i)[1], sum / static_cast<double>(end - begin), 1e-6);
  }
}

TEST(ArgmaxRows, TakesTheLowestOfEqualClasses) {
  FrameTable table(1, 3);
  table.Row(0)[1] = table.Row(0)[2] = 0.4F;
  EXPECT_EQ(ArgmaxRows(table), std::vector<int>{1});
}

}  // namespace
}  // namespace ferment::nn
