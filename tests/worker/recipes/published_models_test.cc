// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/published_models.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace ferment::worker {
namespace {

TEST(PublishedModels, TheLastCotrainIsTheLastThatHasAResult) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "last_cotrain";
  std::filesystem::remove_all(folder);
  const RunLayout layout(folder);
  RunSpec spec;
  spec.mutable_cotrain()->set_rounds(3);
  EXPECT_EQ(LastCotrain(layout, spec), "cotrain-2") << "whose absence is the error that a person should read";
  const auto finish = [&](const std::string& job) {
    std::filesystem::create_directories(layout.Job(job));
    std::ofstream(layout.Result(job)) << "{}";
  };
  finish("cotrain");
  EXPECT_EQ(LastCotrain(layout, spec), "cotrain") << "later rounds were left out";
  finish("cotrain-2");
  EXPECT_EQ(LastCotrain(layout, spec), "cotrain-2");
}

TEST(PublishedModels, AResultWhoseFieldsAreOfAnotherTypeIsDamaged) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "damaged_result";
  const RunLayout layout(folder);
  std::filesystem::create_directories(layout.Job("teacher"));
  for (const char* text :
       {"", "{", "[]", "{}", R"({"models": {}})", R"({"models": [{"role": 7, "file": "a", "sha256": "b"}]})",
        R"({"models": [[]]})", R"({"models": [{"role": "teacher", "file": null}]})",
        R"({"models": [{"role": "teacher", "file": "a"}]})"}) {
    std::ofstream(layout.Result("teacher")) << text;
    const auto models = PublishedModels::Read(layout, "teacher");
    ASSERT_FALSE(models) << text;
    EXPECT_EQ(models.error().code(), StatusCode::kDataLoss) << models.error().ToString();
    EXPECT_EQ(ProcessExitCode(models.error()), exit_code::kUnreadableState) << "65 sends to look at the data";
    EXPECT_NE(models.error().message().find("job=teacher file=" + layout.Result("teacher").string()), std::string::npos)
        << models.error().ToString();
  }
}

}  // namespace
}  // namespace ferment::worker
