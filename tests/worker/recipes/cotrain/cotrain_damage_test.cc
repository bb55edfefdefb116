// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/io/atomic_file.h"
#include "common/io/local_file_system.h"
#include "tests/worker/recipes/cotrain/cotrain_job_test.h"

namespace ferment::worker {
namespace {

/// Begins every JPEG.
const std::string kMarker = "\xff\xd8\xff";

class CotrainDamageTest : public CotrainJobTest {
 protected:
  void SetUp() override {
    CotrainJobTest::SetUp();
    auto& cotrain = *spec_.mutable_cotrain();
    cotrain.set_steps(6);
    cotrain.set_batch(6);
    cotrain.set_dtype("float64");
    cotrain.set_batch_norm("sync");
    cotrain.set_lr_student(0.01);
  }

  /// Makes the first picture of the training list undecodable.
  void DamageALabelledFace() const {
    std::filesystem::path first;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(spec_.data().fer(0).path())) {
      const std::string name = entry.path().string();
      if (entry.path().extension() == ".jpg" && name.find("train") != std::string::npos &&
          (first.empty() || name < first))
        first = name;
    }
    ASSERT_FALSE(first.empty());
    ASSERT_TRUE(io::WriteFileAtomically(first, "not a picture").ok());
  }

  /// Makes the pictures of the pack undecodable from the `begin`th to the one before the `end`th, each record as long
  /// as it was.
  void DamageRecords(int begin, int end) const {
    const auto file = std::filesystem::path(spec_.data().fr().path()) / "train.rec";
    auto pack = io::ReadTextFile(file);
    ASSERT_TRUE(pack) << pack.error().ToString();
    std::size_t at = 0;
    for (int picture = 0; picture < end; ++picture) {
      at = pack->find(kMarker, at + 1);
      ASSERT_NE(at, std::string::npos) << picture;
      if (picture >= begin) std::fill_n(pack->begin() + static_cast<std::ptrdiff_t>(at), kMarker.size(), '\0');
    }
    ASSERT_TRUE(io::WriteFileAtomically(file, *pack).ok());
  }

  std::vector<Json> CurveOn(const std::string& run, std::uint32_t ranks) {
    Colocate(ranks);
    return CurveOf(run);
  }

  std::vector<Json> CurveOf(const std::string& run) {
    testing::RecordedRunClient client;
    const Status status = Train(run, client);
    EXPECT_TRUE(status.ok()) << status.ToString();
    damaged_ = client.completed.empty() ? 0 : client.completed[0].last.metrics.at("damaged_faces");
    return Curve(run);
  }

  double damaged_ = 0;
};

TEST_F(CotrainDamageTest, AnotherFaceTakesADamagedOnesPlaceTheSameOnAnyRanks) {
  const std::vector<Json> whole = CurveOn("whole", 1);
  EXPECT_EQ(damaged_, 0);
  DamageALabelledFace();
  DamageRecords(3, 5);
  const std::vector<Json> alone = CurveOn("alone", 1);
  EXPECT_EQ(damaged_, 3);
  EXPECT_NE(alone, whole);
  for (const std::uint32_t ranks : {2U, 3U}) {
    const std::vector<Json> together = CurveOn("together-" + std::to_string(ranks), ranks);
    ASSERT_EQ(together.size(), spec_.cotrain().steps());
    for (std::size_t step = 0; step < alone.size(); ++step) {
      for (const auto& [name, value] : alone[step].items())
        EXPECT_NEAR(together[step].at(name).get<double>(), value.get<double>(), 1e-9 * std::abs(value.get<double>()))
            << "step " << step << " " << name << " on " << ranks << " ranks";
    }
  }
}

// One step draws each of the 24 pictures once.
TEST_F(CotrainDamageTest, TheResultCountsTheDamagedFacesOfAllRanksEachOnce) {
  spec_.mutable_cotrain()->set_steps(1);
  spec_.mutable_cotrain()->set_mu(4);
  DamageRecords(3, 12);
  for (const std::uint32_t ranks : {1U, 2U, 3U}) {
    CurveOn("together-" + std::to_string(ranks), ranks);
    EXPECT_EQ(damaged_, 9) << ranks << " ranks";
  }
  Split(2, 1);
  CurveOf("split");
  EXPECT_EQ(damaged_, 9) << "both groups meet the same faces";
}

// Of 24 pictures four are whole, so that for one place in twenty there is no other face: a rank fails while others do
// not.
TEST_F(CotrainDamageTest, WhereOneRankFindsNoOtherFaceNoRankWaitsForIt) {
  DamageRecords(0, 20);
  for (const std::uint32_t ranks : {1U, 2U, 3U}) {
    Colocate(ranks);
    testing::RecordedRunClient client;
    const Status status = Train("damaged-" + std::to_string(ranks), client);
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status.ToString();
    EXPECT_NE(status.message().find("key="), std::string::npos) << "which record: " << status.ToString();
    EXPECT_TRUE(client.completed.empty());
    if (ranks > 1) {
      EXPECT_NE(status.message().find("rank 1: "), std::string::npos) << "told to rank 0: " << status.ToString();
    }
  }
}

}  // namespace
}  // namespace ferment::worker
