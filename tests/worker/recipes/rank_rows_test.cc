// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/rank_rows.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/support/run_ranks.h"

namespace ferment::worker {
namespace {

/// Has no faces but damaged ones.
class DamagedStream : public FaceStream {
 public:
  explicit DamagedStream(std::vector<std::uint64_t> damaged) : damaged_(std::move(damaged)) {}
  Result<FaceBatch> Rows(std::uint64_t, std::uint64_t) override { return FaceBatch(); }
  std::vector<std::uint64_t> Damaged() const override { return damaged_; }

 private:
  const std::vector<std::uint64_t> damaged_;
};

BatchFeed FeedOf(std::vector<std::uint64_t> labelled, std::vector<std::uint64_t> unlabelled) {
  return {
      std::make_unique<DamagedStream>(std::move(labelled)), std::make_unique<DamagedStream>(std::move(unlabelled)), {}};
}

TEST(RankRows, ComeInRankOrderAndMayBeUneven) {
  testing::RunRanks(3, [](Collective& world) {
    const std::int64_t rows = 2 - world.rank();  // 2, 1 and none
    const auto mine = torch::full({rows, 2}, world.rank() + 0.5, torch::kFloat64);
    const auto all = GatherRows(mine, world);
    ASSERT_TRUE(all) << all.error().ToString();
    EXPECT_TRUE(torch::equal(*all, torch::tensor({{0.5, 0.5}, {0.5, 0.5}, {1.5, 1.5}}, torch::kFloat64)));
  });
}

TEST(RankRows, DamagedFacesAreThoseOfAllRanksEachOnce) {
  testing::RunRanks(3, [](Collective& world) {
    // Faces of the two streams have the same indices, and rank 0 has met none.
    const BatchFeed feed = world.rank() == 0   ? FeedOf({}, {})
                           : world.rank() == 1 ? FeedOf({1, 4}, {4})
                                               : FeedOf({4}, {});
    const auto count = CountDamagedFaces(feed, world);
    ASSERT_TRUE(count) << count.error().ToString();
    EXPECT_EQ(*count, 3) << "rank " << world.rank();
  });
}

TEST(RankRows, WhereNoRankHasMetADamagedFaceThereIsNone) {
  for (const int ranks : {1, 2}) {
    testing::RunRanks(ranks, [](Collective& world) { EXPECT_EQ(CountDamagedFaces(FeedOf({}, {}), world).value(), 0); });
  }
}

TEST(RankRows, NoRankCountsDamageForOneThatHasLeft) {
  testing::RunRanks(3, [](Collective& world) {
    if (world.rank() == 1) return world.Abort(exit_code::kPeerLost);
    const auto count = CountDamagedFaces(FeedOf({1}, {}), world);
    ASSERT_FALSE(count);
    EXPECT_EQ(count.error().code(), StatusCode::kUnavailable) << count.error().ToString();
  });
}

}  // namespace
}  // namespace ferment::worker
