// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"

namespace ferment {
namespace {

using ::testing::ElementsAre;

TEST(SpecDifferences, ListsChangesAdditionsAndRemovals) {
  RunSpec before;
  before.set_seed(1);
  before.set_name("a");
  RunSpec after;
  after.set_seed(2);
  after.mutable_model()->set_width(16);
  EXPECT_THAT(SpecDifferences(before, after),
              ElementsAre("seed: \"1\" -> \"2\"", "model.width: (absent) -> 16", "name: \"a\" -> (absent)"));
  EXPECT_TRUE(SpecDifferences(after, after).empty());
}

TEST(SpecDifferences, FromAFileAreNoneWhereAValueIsAbsentFromOneAndTheOthersDefault) {
  const auto file = std::filesystem::path(::testing::TempDir()) / ("differences-" + std::to_string(getpid()) + ".yaml");
  RunSpec whole = DefaultSpec();
  whole.set_name("small");
  RunSpec former = whole;
  former.mutable_labeling()->clear_max_drift();
  for (const auto& [written, given] : {std::pair(whole, former), {former, whole}}) {
    std::ofstream(file) << SpecToYaml(written);
    EXPECT_THAT(DifferencesFromFile(file, given).value(), ElementsAre());
    RunSpec other = given;
    other.mutable_labeling()->set_max_drift(0.5);
    EXPECT_THAT(DifferencesFromFile(file, other).value(), ElementsAre("labeling.max_drift: 0 -> 0.5"));
  }
  std::filesystem::remove(file);
  EXPECT_EQ(DifferencesFromFile(file, whole).error().exit_code(), exit_code::kBadSpec);
}

}  // namespace
}  // namespace ferment
