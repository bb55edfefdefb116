// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

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
  Outcome Submit(const std::vector<std::string>& extra = {}) {
    const auto spec = std::filesystem::path(FERMENT_SOURCE_DIR) / "tests/road/tiny.yaml";
    std::vector<std::string> arguments = {"submit", spec.string(), "--run-dir", run_dir().string()};
    arguments.insert(arguments.end(), extra.begin(), extra.end());
    return Ferment(arguments);
  }
  event::ChildProcess StartLabeler(const std::string& name) {
    return Background(
        {Program("ferment-labeler"), "--coordinator", address_, "--name", name, "--threads", "1", "--device", "cpu"},
        name + ".txt");
  }
  /// Returns: whether this labeler has logged it, with these values.
  bool Logged(const std::string& labeler, const std::string& message, const Json& values) const {
    std::ifstream log(folder() / (labeler + ".txt"));
    for (std::string text; std::getline(log, text);) {
      const auto line = ParseJson(text);
      if (!line || !line->is_object() || line->value("msg", "") != message) continue;
      const bool all = std::ranges::all_of(
          values.items(), [&](const auto& value) { return line->value(value.key(), Json()) == value.value(); });
      if (all) return true;
    }
    return false;
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

TEST_F(StandaloneCoordinator, AShardOfALabelerThatIsToldToLeaveInItsMidstGoesToAnotherAtOnce) {
  event::ChildProcess coordinator = StartCoordinator();
  // No lease runs out while the test lasts.
  const Outcome submitted = Submit({"--set", "labeling.lease_seconds=600", "--set", "data.synthetic.fr_records=4000",
                                    "--set", "data.fr.shard_records=2000"});
  ASSERT_EQ(submitted.exit_code, 0) << submitted.output;
  event::ChildProcess first = StartLabeler("first");
  ASSERT_TRUE(WaitUntil(first, [&] { return Logged("first", "shard_started", {{"shard", "0"}, {"epoch", "1"}}); }));
  first.Signal(SIGSTOP);
  event::ChildProcess second = StartLabeler("second");
  ASSERT_TRUE(WaitUntil(second, [&] { return Logged("second", "labeler_started", Json::object()); }));
  first.Signal(SIGTERM);
  first.Signal(SIGCONT);
  EXPECT_EQ(Wait(first).exit_code, 143);
  EXPECT_TRUE(Logged("first", "lease_returned", {{"shard", "0"}, {"outcome", "OK"}}));
  EXPECT_FALSE(Logged("first", "shard_committed", {{"shard", "0"}}));
  EXPECT_TRUE(WaitUntil(second, [&] { return Logged("second", "shard_started", {{"shard", "0"}, {"epoch", "2"}}); }));
  EXPECT_EQ(Ferment({"cancel", "tiny-1"}).exit_code, 0);
  EXPECT_EQ(Ferment({"wait", "tiny-1"}).exit_code, 143);
  for (event::ChildProcess* process : {&second, &coordinator}) {
    process->Signal(SIGTERM);
    EXPECT_EQ(Wait(*process).exit_code, 143);
  }
}

}  // namespace
}  // namespace ferment::road
