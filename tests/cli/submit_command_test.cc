// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/command.h"
#include "cli/coordinator_client.h"
#include "tests/support/in_process_cluster.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SubmitCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(root_);
    fs::create_directories(root_ / "data");
    const std::string data = (root_ / "data").string();
    std::ofstream(root_ / "spec.yaml") << "name: small\ndata: {fer: {format: folder, path: " << data
                                       << "}, fr: {format: insightface, path: " << data << "}}\n";
  }

  /// Types `ferment submit`. Returns: its exit code, what it said on stderr, and the id on stdout.
  struct Outcome {
    int code;
    std::string run_id;
    std::string told;
  };
  Outcome Submit() const {
    const std::string spec = (root_ / "spec.yaml").string();
    const std::string folder = folder_.string();
    const std::vector<const char*> words = {"ferment",      "submit", spec.c_str(),    "--run-dir",
                                            folder.c_str(), "-q",     "--coordinator", cluster_.address().c_str()};
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(words.size()), words.data());
    return {code, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
  }
  /// Has the run's first trainer leave for good. Returns: whether the run has failed of it.
  bool Fail() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    CoordinatorClient client(cluster_.address(), std::chrono::seconds(30));
    for (bool left = false; std::chrono::steady_clock::now() < deadline; std::this_thread::yield()) {
      if (!left && !cluster_.world().launcher.launched().empty()) {
        cluster_.world().launcher.Exit("teacher/1", exit_code::kBadData);
        left = true;
      }
      const auto run = client.Get("small-1");
      if (run && run->state() == v1::RUN_STATE_FAILED) return true;
    }
    return false;
  }

  const fs::path root_ = fs::path(::testing::TempDir()) / "submit_command";
  const fs::path folder_ = root_ / "run";
  ferment::testing::InProcessCluster cluster_;
};

TEST_F(SubmitCommand, AnEmptiedFolderIsNotGivenTheRunThatHasEndedThere) {
  EXPECT_EQ(Submit().run_id, "small-1\n");
  ASSERT_TRUE(Fail());
  fs::remove_all(folder_);
  for (int attempt = 1; attempt <= 2; ++attempt) {
    const Outcome refused = Submit();
    EXPECT_EQ(refused.code, exit_code::kBadData) << "attempt=" << attempt;
    EXPECT_EQ(refused.run_id, "");
    EXPECT_THAT(refused.told, AllOf(HasSubstr("run=small-1 state=failed"), HasSubstr("--run-dir"))) << attempt;
  }
  fs::remove_all(folder_);
  std::ofstream(root_ / "spec.yaml", std::ios::app) << "seed: 5\n";
  EXPECT_EQ(Submit().run_id, "small-2\n") << "of another spec";
}

TEST_F(SubmitCommand, ASecondCommandFindsTheRunWhetherItsFolderWasEmptiedOrNot) {
  EXPECT_EQ(Submit().run_id, "small-1\n");
  EXPECT_TRUE(fs::exists(folder_ / "spec.yaml"));
  EXPECT_EQ(Submit().run_id, "small-1\n");
  fs::remove_all(folder_);
  EXPECT_EQ(Submit().run_id, "small-1\n") << "it goes on";
  ASSERT_TRUE(Fail());
  const Outcome reopened = Submit();
  EXPECT_EQ(reopened.code, 0) << reopened.told;
  EXPECT_EQ(reopened.run_id, "small-1\n");
  EXPECT_EQ(CoordinatorClient(cluster_.address(), std::chrono::seconds(30)).Get("small-1")->state(),
            v1::RUN_STATE_RUNNING);
}

TEST_F(SubmitCommand, AFolderIsNewUntilACoordinatorHasTakenTheRun) {
  EXPECT_EQ(Submit().run_id, "small-1\n");
  ASSERT_TRUE(Fail());
  fs::remove_all(folder_);
  cluster_.StopCoordinator();
  EXPECT_EQ(Submit().code, exit_code::kMissingService);
  cluster_.StartCoordinator();
  EXPECT_EQ(Submit().code, exit_code::kBadData);
}

}  // namespace
}  // namespace ferment::cli
