// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_folder.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "common/io/local_file_system.h"
#include "tests/support/disk_faults.h"
#include "tests/support/job_folder_test.h"

namespace ferment::worker {
namespace {

using testing::DiskFaults;

class CheckpointFolderTest : public testing::JobFolderTest {
 protected:
  void SetUp() override {
    JobFolderTest::SetUp();
    claim_ = *io::FolderClaim::Take(folder_, 1);
  }
  Status Save(std::uint64_t step, std::uint32_t keep) const {
    RecipeState state;
    state.tensors["net"] = {{"weights", torch::full({4}, static_cast<double>(step))}};
    state.scalars = {{"step", step}};
    return checkpoints().Save(step, state, keep, *claim_);
  }
  Result<std::uint64_t> Newest() const {
    FERMENT_ASSIGN_OR_RETURN(const auto state, checkpoints().Newest());
    return state->scalars.at("step").get<std::uint64_t>();
  }
  Status RemoveHalfWritten() const { return checkpoints().RemoveHalfWritten(); }
  void Damage(std::uint64_t step) const {
    std::filesystem::resize_file(path() / ("step-" + std::to_string(step)) / "net.safetensors", 40);
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path())) names.insert(entry.path().filename());
    return names;
  }
  std::filesystem::path path() const { return folder_ / "checkpoints"; }

 private:
  CheckpointFolder checkpoints() const { return CheckpointFolder(path()); }

  std::optional<io::FolderClaim> claim_;
};

TEST_F(CheckpointFolderTest, WhatWasPassedOverDoesNotCountAsKeptAndOneOfItIsSetAside) {
  for (const std::uint64_t step : {200U, 300U, 400U}) ASSERT_TRUE(Save(step, 3).ok());
  Damage(400);
  Damage(300);
  ASSERT_EQ(Newest().value(), 200U);
  {
    const DiskFaults faults(path(), DiskFaults::Kind::kFail, 1, ENOSPC);
    const std::string failed = Save(250, 2).ToString();
    EXPECT_NE(failed.find("step-200 needed_bytes"), std::string::npos) << "names one that cannot be read: " << failed;
  }
  // Older than what was passed over, and the spec's keep is a smaller one.
  ASSERT_TRUE(Save(250, 2).ok());
  EXPECT_EQ(Names(), (std::set<std::string>{"step-200", "step-250", "step-400.damaged"}));
  EXPECT_EQ(Newest().value(), 250U);
  ASSERT_TRUE(Save(350, 2).ok());
  EXPECT_EQ(Names(), (std::set<std::string>{"step-250", "step-350", "step-400.damaged"}));
  Damage(350);
  ASSERT_EQ(Newest().value(), 250U);
  ASSERT_TRUE(Save(360, 2).ok());
  EXPECT_EQ(Names(), (std::set<std::string>{"step-250", "step-360", "step-350.damaged"}));
}

TEST_F(CheckpointFolderTest, ADamagedOneThatIsWrittenAnewIsSetAsideWithTheReason) {
  for (const std::uint64_t step : {300U, 400U}) ASSERT_TRUE(Save(step, 2).ok());
  Damage(400);
  ASSERT_EQ(Newest().value(), 300U);
  ASSERT_TRUE(Save(400, 2).ok());
  EXPECT_EQ(Newest().value(), 400U);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-300", "step-400", "step-400.damaged"}));
  const auto why = io::ReadTextFile(path() / "step-400.damaged/PASSED_OVER.txt");
  ASSERT_TRUE(why) << "nobody can look at what was damaged";
  EXPECT_NE(why->find("step-400/net.safetensors"), std::string::npos) << *why;
}

TEST_F(CheckpointFolderTest, ADamagedOneBetweenGoodOnesDoesNotCountEither) {
  for (const std::uint64_t step : {200U, 300U, 400U}) ASSERT_TRUE(Save(step, 3).ok());
  Damage(400);
  Damage(300);
  ASSERT_EQ(Newest().value(), 200U);
  ASSERT_TRUE(Save(350, 2).ok());
  EXPECT_EQ(Names(), (std::set<std::string>{"step-200", "step-350", "step-400.damaged"}));
}

TEST_F(CheckpointFolderTest, TheOneJustWrittenStaysWhateverElseIsThere) {
  for (const std::uint64_t step : {400U, 300U, 100U}) ASSERT_TRUE(Save(step, 2).ok());
  EXPECT_EQ(Names(), (std::set<std::string>{"step-100", "step-400"}));
}

TEST_F(CheckpointFolderTest, WhereAllAreDamagedNothingIsSetAside) {
  ASSERT_TRUE(Save(7, 2).ok());
  Damage(7);
  for (int life = 0; life < 2; ++life) {
    const auto none = Newest();
    ASSERT_FALSE(none) << "training would begin anew over it";
    EXPECT_EQ(none.error().exit_code(), exit_code::kUnreadableState);
  }
  EXPECT_EQ(Names(), std::set<std::string>{"step-7"});
}

TEST_F(CheckpointFolderTest, AnyBitOfTheManifestThatIsAnotherIsDamage) {
  ASSERT_TRUE(Save(7, 2).ok());
  const auto manifest = path() / "step-7/MANIFEST.json";
  const std::string whole = io::ReadTextFile(manifest).value();
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string text = whole;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    std::ofstream(manifest) << text;
    const auto newest = Newest();
    ASSERT_FALSE(newest) << text;
    EXPECT_EQ(newest.error().exit_code(), exit_code::kUnreadableState);
    EXPECT_NE(newest.error().message().find(manifest.string()), std::string::npos) << newest.error().ToString();
  }
  for (const std::string& text : {whole.substr(0, whole.size() - 1), whole + "\n", whole + whole}) {
    std::ofstream(manifest) << text;
    EXPECT_FALSE(Newest()) << text;
  }
  std::ofstream(manifest) << whole;
  EXPECT_EQ(Newest().value(), 7U);
}

TEST_F(CheckpointFolderTest, AManifestOfAFormerVersionIsReadAndThatOfAnotherStepIsNone) {
  for (const std::uint64_t step : {7U, 8U}) ASSERT_TRUE(Save(step, 2).ok());
  const auto manifest = path() / "step-8/MANIFEST.json";
  const Json sealed = ParseJson(io::ReadTextFile(manifest).value()).value();
  Json former;
  for (const char* key : {"format", "step", "files", "scalars"}) former[key] = sealed[key];
  std::ofstream(manifest) << former.dump(1);
  EXPECT_EQ(Newest().value(), 8U);
  Json unsealed = sealed;
  unsealed.erase("sha256");
  unsealed["sha255"] = sealed["sha256"];
  Json later = former;
  later["step"] = 9;
  for (const Json& damaged : {unsealed, later}) {
    std::ofstream(manifest) << damaged.dump(1);
    EXPECT_EQ(Newest().value(), 7U) << damaged;
  }
  std::filesystem::copy(path() / "step-7", path() / "step-9");
  EXPECT_EQ(Newest().value(), 7U) << "a copy under another step's name was gone on with";
}

TEST_F(CheckpointFolderTest, OfALaterFormatNoneIsPassedOver) {
  for (const std::uint64_t step : {7U, 8U}) ASSERT_TRUE(Save(step, 2).ok());
  std::ofstream(path() / "step-8/MANIFEST.json") << R"({"format": 2, "pieces": []})";
  const auto newest = Newest();
  ASSERT_FALSE(newest);
  EXPECT_EQ(newest.error().exit_code(), exit_code::kUnreadableState);
  EXPECT_NE(newest.error().message().find("of a newer version"), std::string::npos) << newest.error().ToString();
  EXPECT_EQ(Names(), (std::set<std::string>{"step-7", "step-8"}));
}

TEST_F(CheckpointFolderTest, HalfWrittenOnesThatSomebodyElseRemovesTooAreNoFailure) {
  for (int round = 0; round < 50; ++round) {
    for (const char* name : {"step-3.half-written", "step-4.half-written"}) {
      for (int part = 0; part < 20; ++part) {
        const auto folder = path() / name / std::to_string(part);
        std::filesystem::create_directories(folder);
        std::ofstream(folder / "net.safetensors") << "half";
      }
    }
    Status other;
    {
      const std::jthread beside([&] { other = RemoveHalfWritten(); });
      const Status own = RemoveHalfWritten();
      EXPECT_TRUE(own.ok()) << own.ToString();
    }
    EXPECT_TRUE(other.ok()) << other.ToString();
    EXPECT_EQ(Names(), std::set<std::string>());
  }
}

}  // namespace
}  // namespace ferment::worker
