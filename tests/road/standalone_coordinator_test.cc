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
};

TEST_F(StandaloneCoordinator, TakesASubmittedRunToItsReportWithALabelerThatJoinsLater) {
  const auto address_file = folder() / "address.json";
  event::ChildProcess coordinator =
      Background({Program("ferment-coordinator"), "--store", "sqlite:" + (folder() / "ferment.db").string(), "--listen",
                  "127.0.0.1:0", "--admin", "127.0.0.1:0", "--address-file", address_file.string()},
                 "coordinator.txt");
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return std::filesystem::exists(address_file); }));
  const std::string address = ReadJson(address_file)["grpc"];
  const auto ferment = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Program("ferment"));
    arguments.insert(arguments.end(), {"--coordinator", address});
    return Run(arguments);
  };

  const auto spec = std::filesystem::path(FERMENT_SOURCE_DIR) / "tests/road/tiny.yaml";
  const Outcome submitted = ferment({"submit", spec.string(), "--run-dir", run_dir().string()});
  ASSERT_EQ(submitted.exit_code, 0) << submitted.output;
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return HasResult("teacher"); }));
  event::ChildProcess labeler = Background({Program("ferment-labeler"), "--coordinator", address}, "labeler.txt");

  EXPECT_EQ(ferment({"wait", "tiny-1"}).exit_code, 0);
  ExpectFinishedRun();
  const Outcome got = ferment({"get", "tiny-1"});
  EXPECT_NE(got.output.find("succeeded"), std::string::npos) << got.output;
  EXPECT_EQ(ferment({"logs", "tiny-1", "teacher"}).exit_code, 0);

  labeler.Signal(SIGTERM);
  EXPECT_EQ(Wait(labeler).exit_code, 143);
  coordinator.Signal(SIGTERM);
  EXPECT_EQ(Wait(coordinator).exit_code, 143);
}

}  // namespace
}  // namespace ferment::road
