// SPDX-License-Identifier: Apache-2.0
#include "common/config/spec_loader.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/random.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_schema.h"
#include "ferment/v1/field_rule.pb.h"

namespace ferment {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::MessageDifferencer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A folder of its own for each test, with the spec `road.yaml` in it.
class SpecLoader : public ::testing::Test {
 protected:
  SpecLoader()
      : folder_(fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~SpecLoader() override { fs::remove_all(folder_); }

  fs::path Write(const std::string& yaml) const {
    std::ofstream(folder_ / "road.yaml", std::ios::binary) << yaml;
    return folder_ / "road.yaml";
  }
  Result<LoadedSpec> Load(const std::string& yaml, const std::vector<SpecOverride>& flags = {}) const {
    return LoadSpec(Write(yaml), flags);
  }
  // The faults without the folder, so that they read "road.yaml:1:2: ...".
  std::string Faults(const std::string& yaml, const std::vector<SpecOverride>& flags = {}) const {
    const Result<LoadedSpec> loaded = Load(yaml, flags);
    if (loaded) return "no fault";
    EXPECT_EQ(ProcessExitCode(loaded.error()), exit_code::kBadSpec);
    std::string text(loaded.error().message());
    const std::string prefix = folder_.string() + "/";
    for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
  }

  fs::path folder_;
};

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

TEST_F(SpecLoader, FillsAnEmptyFileWithDefaults) {
  const Result<LoadedSpec> loaded = Load("");
  ASSERT_TRUE(loaded) << loaded.error().message();
  RunSpec expected = DefaultSpec();
  expected.set_name("road");
  expected.mutable_data()->set_root(folder_.string());
  EXPECT_TRUE(MessageDifferencer::Equals(loaded->spec, expected)) << loaded->spec.DebugString();
  EXPECT_TRUE(UsesSyntheticSets(loaded->spec));
}

TEST_F(SpecLoader, GivesTheDefaultsThatTheSchemaStates) {
  const RunSpec spec = DefaultSpec();
  EXPECT_EQ(spec.api_version(), "ferment/v1");
  EXPECT_EQ(spec.classes_size(), 8);
  EXPECT_EQ(spec.classes(7), "Other");
  EXPECT_DOUBLE_EQ(spec.teacher().weight_decay(), 5e-4);
  EXPECT_EQ(spec.cotrain().feedback().form(), "first_order");
  EXPECT_GE(spec.resources().threads_per_rank(), 1U);
  EXPECT_FALSE(spec.data().has_fr());
  EXPECT_FALSE(spec.data().has_videos());
  EXPECT_FALSE(spec.cotrain().has_placement_ranks());
}

TEST_F(SpecLoader, TellsAllFaultsAtOnceInTheOrderOfTheFile) {
  const std::string faults = Faults(
      "apiVersion: ferment/v2\n"
      "teacher:\n"
      "  lr: -1\n"
      "  batchs: 3\n"
      "model: {backbone: resnet19}\n",
      {{"cotrain.mu", "65"}});
  EXPECT_EQ(faults,
            "road.yaml:1:13: apiVersion: \"ferment/v2\" is not a choice; allowed: ferment/v1; nearest: ferment/v1\n"
            "road.yaml:3:7: teacher.lr: -1 is out of range; allowed: 0 to 100\n"
            "road.yaml:4:3: teacher.batchs: unknown key; nearest: teacher.batch\n"
            "road.yaml:5:19: model.backbone: \"resnet19\" is not a choice; allowed: resnet50 | resnet18 | iresnet50; "
            "nearest: resnet18\n"
            "--set cotrain.mu=65: cotrain.mu: 65 is out of range; allowed: 1 to 64");
}

}  // namespace
}  // namespace ferment
