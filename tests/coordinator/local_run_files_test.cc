// SPDX-License-Identifier: Apache-2.0
#include "coordinator/local_run_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/config/run_layout.h"
#include "common/config/spec_defaults.h"
#include "common/config/spec_loader.h"
#include "common/io/local_file_system.h"

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;

/// The folder of a run that has ended.
class LocalRunFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    spec_.set_name("small");
    spec_.mutable_cotrain()->set_steps(600);
    ASSERT_TRUE(files_->PrepareRun(spec_, layout_.root(), "small-1@1").ok());
    ASSERT_TRUE(files_->WritePhaseTable(layout_.root(), kTable, Leads).ok());
    files_->LeaveRun(layout_.root());
  }
  void TearDown() override { std::filesystem::remove_all(layout_.root()); }

  static Status Leads() { return {}; }
  static std::string TextOf(const std::filesystem::path& file) { return io::ReadTextFile(file).value_or(""); }
  Status Prepare(const RunSpec& spec, const std::string& owner) {
    return files_->PrepareRun(spec, layout_.root(), owner);
  }

  static constexpr const char* kTable = R"({"status": "succeeded", "seed": 1, "phases": []})";
  const RunLayout layout_{std::filesystem::path(::testing::TempDir()) / ("run-files-" + std::to_string(getpid()))};
  const std::unique_ptr<RunFiles> files_ = MakeLocalRunFiles();
  RunSpec spec_ = DefaultSpec();
};

TEST_F(LocalRunFilesTest, AFolderBegunWithAnotherSpecIsRefusedByKeyAndLeftAsItWas) {
  const std::string kept = TextOf(layout_.Spec());
  RunSpec other = spec_;
  other.mutable_cotrain()->set_steps(50);
  other.mutable_labeling()->set_threshold(0.9);
  const Status refused = Prepare(other, "small-2@2");
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ProcessExitCode(refused), exit_code::kBadSpec);
  for (const std::string& part : {"path=" + layout_.Spec().string(), std::string("cotrain.steps: 600 -> 50"),
                                  std::string("labeling.threshold: 0.6 -> 0.9")})
    EXPECT_THAT(std::string(refused.message()), HasSubstr(part));
  EXPECT_EQ(TextOf(layout_.Spec()), kept);
  EXPECT_FALSE(files_->WritePhaseTable(layout_.root(), "{}", Leads).ok()) << "the last word is the other run's";
  EXPECT_FALSE(files_->WriteReport(layout_.root(), Leads).ok());
  EXPECT_FALSE(files_->WithdrawResult(layout_.root(), "cotrain").ok());
  EXPECT_EQ(TextOf(layout_.PhaseTable()), kTable);

  EXPECT_TRUE(Prepare(spec_, "small-2@2").ok());
  EXPECT_TRUE(files_->WritePhaseTable(layout_.root(), "{}", Leads).ok());
}

TEST_F(LocalRunFilesTest, AKeyThatTheFormerVersionDidNotKnowIsAsItsDefault) {
  RunSpec former = spec_;
  former.mutable_labeling()->clear_max_drift();
  EXPECT_TRUE(Prepare(former, "small-1@1").ok()) << "a log of before, a file of today";
  std::ofstream(layout_.Spec()) << SpecToYaml(former);
  EXPECT_TRUE(Prepare(spec_, "small-1@1").ok());
}

TEST_F(LocalRunFilesTest, ASpecThatCannotBeReadIsNamed) {
  std::ofstream(layout_.Spec()) << "cotrain: [";
  const Status refused = Prepare(spec_, "small-1@1");
  EXPECT_EQ(ProcessExitCode(refused), exit_code::kBadSpec);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(layout_.Spec().string()));
}

}  // namespace
}  // namespace ferment::coordinator
