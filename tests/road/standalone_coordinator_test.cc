// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

class StandaloneCoordinator : public RoadTest {
 protected:
  std::string Program(const std::string& name) const { return (BinFolder() / name).string(); }
  event::ChildProcess Background(std::vector<std::string> argv, const std::string& log) const {
    auto started = event::ChildProcess::Start({.argv = std::move(argv), .output = folder() / log});
    EXPECT_TRUE(started);
    return std::move(*started);
  }
  event::ChildProcess StartCoordinator() {
    const auto address_file = folder() / "address.json";
    event::ChildProcess coordinator =
        Background({Program("ferment-coordinator"), "--store", "sqlite:" + (folder() / "ferment.db").string(),
                    "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--address-file", address_file.string()},
                   "coordinator.txt");
    EXPECT_TRUE(WaitUntil(coordinator, [&] { return std::filesystem::exists(address_file); }));
    address_ = ReadJson(address_file)["grpc"];
    return coordinator;
  }
  Outcome Ferment(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Program("ferment"));
    arguments.insert(arguments.end(), {"--coordinator", address_});
    return Run(arguments);
  }
  Outcome Submit() {
    const auto spec = std::filesystem::path(FERMENT_SOURCE_DIR) / "tests/road/tiny.yaml";
    return Ferment({"submit", spec.string(), "--run-dir", run_dir().string()});
  }
  /// Returns: whether `ferment get` comes to say this of the run.
  bool Shows(event::ChildProcess& coordinator, const std::string& text) {
    return WaitUntil(coordinator, [&] { return Ferment({"get", "tiny-1"}).output.find(text) != std::string::npos; });
  }

  std::string address_;
};

TEST_F(StandaloneCoordinator, TakesASubmittedRunToItsReportWithALabelerThatJoinsLater) {
  event::ChildProcess coordinator = StartCoordinator();
  const Outcome submitted = Submit();
  ASSERT_EQ(submitted.exit_code, 0) << submitted.output;
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return HasResult("teacher"); }));
  event::ChildProcess labeler = Background({Program("ferment-labeler"), "--coordinator", address_}, "labeler.txt");

  EXPECT_EQ(Ferment({"wait", "tiny-1"}).exit_code, 0);
  ExpectFinishedRun();
  const Outcome got = Ferment({"get", "tiny-1"});
  EXPECT_NE(got.output.find("succeeded"), std::string::npos) << got.output;
  EXPECT_EQ(Ferment({"logs", "tiny-1", "teacher"}).exit_code, 0);
  EXPECT_EQ(Ferment({"cancel", "tiny-1"}).output, "nothing to cancel: tiny-1 has succeeded\n");

  labeler.Signal(SIGTERM);
  EXPECT_EQ(Wait(labeler).exit_code, 143);
  coordinator.Signal(SIGTERM);
  EXPECT_EQ(Wait(coordinator).exit_code, 143);
}

TEST_F(StandaloneCoordinator, ARunIsSuspendedResumedCancelledSubmittedAgainAndCancelledAgain) {
  event::ChildProcess coordinator = StartCoordinator();
  ASSERT_EQ(Submit().exit_code, 0);
  EXPECT_EQ(Ferment({"prioritize", "tiny-1", "5"}).exit_code, 0);
  EXPECT_EQ(Ferment({"prioritize", "tiny-1", "101"}).exit_code, exit_code::kUsage);
  EXPECT_EQ(Ferment({"suspend", "tiny-1"}).exit_code, 0);
  EXPECT_TRUE(Shows(coordinator, "suspended  priority 5"));
  EXPECT_EQ(Ferment({"resume", "tiny-1"}).exit_code, 0);
  EXPECT_TRUE(Shows(coordinator, "running  priority 5"));
  const Outcome rolled_back = Ferment({"rollback", "tiny-1", "--reason", "flat"});
  EXPECT_EQ(rolled_back.exit_code, exit_code::kNotAllowed);
  EXPECT_NE(rolled_back.output.find("teacher"), std::string::npos) << rolled_back.output;
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(Ferment({"cancel", "tiny-1"}).exit_code, 0);
    EXPECT_EQ(Ferment({"wait", "tiny-1"}).exit_code, 143);
    EXPECT_EQ(Ferment({"suspend", "tiny-1"}).exit_code, exit_code::kNotAllowed) << "it has ended";
    if (i == 1) break;
    EXPECT_EQ(Submit().exit_code, 0);
    EXPECT_TRUE(Shows(coordinator, "running"));
  }
  coordinator.Signal(SIGTERM);
  EXPECT_EQ(Wait(coordinator).exit_code, 143);
}

}  // namespace
}  // namespace ferment::road
