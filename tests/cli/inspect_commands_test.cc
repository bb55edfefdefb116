// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/command.h"
#include "cli/coordinator_client.h"
#include "tests/support/in_process_cluster.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

class InspectCommands : public ::testing::Test {
 protected:
  Outcome Type(std::vector<std::string> words) {
    words.insert(words.begin(), "ferment");
    words.insert(words.end(), {"--coordinator", cluster_.address()});
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(static_cast<int>(argv.size()), argv.data());
    return {code, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
  }
  void Submit() {
    v1::SubmitRunRequest request;
    request.set_request_id("a");
    request.set_run_dir("/runs/again");
    *request.mutable_spec() = ferment::testing::SmallSpec();
    ASSERT_TRUE(CoordinatorClient(cluster_.address(), std::chrono::seconds(30)).Submit(request));
  }

  ferment::testing::InProcessCluster cluster_;
};

TEST_F(InspectCommands, HealthIsToldByTheExitCode) {
  const Outcome serving = Type({"health"});
  EXPECT_EQ(serving.code, 0) << serving.err;
  EXPECT_EQ(serving.out, "serving\n");
  const Outcome unknown = Type({"health", "--service", "ferment.v1.NoService"});
  EXPECT_EQ(unknown.code, exit_code::kMissingService);
  EXPECT_EQ(unknown.out, "");
  cluster_.StopCoordinator();
  const Outcome gone = Type({"health"});
  EXPECT_EQ(gone.code, exit_code::kMissingService);
  EXPECT_THAT(gone.err, HasSubstr(cluster_.address()));
  cluster_.StartCoordinator();
}

TEST_F(InspectCommands, DescribeTellsOfOneRunAndGetInPlainFields) {
  Submit();
  const Outcome described = Type({"describe", "small-1"});
  EXPECT_EQ(described.code, 0) << described.err;
  EXPECT_THAT(described.out, StartsWith("Run:          small-1\n"));
  EXPECT_THAT(described.out, HasSubstr("Folder:       /runs/again\n"));
  EXPECT_THAT(described.out, HasSubstr("\n  evaluate\n"));
  EXPECT_NE(Type({"describe", "no-such-run"}).code, 0);
  const Outcome plain = Type({"get", "--plain"});
  EXPECT_THAT(plain.out, StartsWith("small-1\trunning\t0\tsmall\t"));
  EXPECT_EQ(Type({"get", "small-1", "--plain"}).out.substr(0, 16), "small-1\trunning\t");
  EXPECT_EQ(Type({"get", "--plain", "--json"}).code, exit_code::kUsage);
}

TEST_F(InspectCommands, ADryRunOfASubmissionLeavesNothingBehind) {
  const fs::path folder = fs::path(::testing::TempDir()) / "inspect_dry_run";
  fs::remove_all(folder);
  const fs::path spec = fs::path(::testing::TempDir()) / "inspect_dry_run.yaml";
  std::ofstream(spec) << "name: tried\nteacher: {steps: 7}\n";
  const Outcome outcome = Type({"submit", spec.string(), "--run-dir", folder.string(), "--dry-run"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("# would submit to " + cluster_.address()));
  EXPECT_THAT(outcome.out, HasSubstr("name: tried"));
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_EQ(Type({"get"}).out, "");
  std::ofstream(spec) << "data: {fer: {path: /no/such/faces}, fr: {path: /no/such/pack}}\n";
  EXPECT_EQ(Type({"submit", spec.string(), "--run-dir", folder.string(), "--dry-run"}).code, exit_code::kBadData);
}

}  // namespace
}  // namespace ferment::cli
