// SPDX-License-Identifier: Apache-2.0
#include "cli/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace ferment::cli {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

bool Never() { return false; }

/// Shell scripts stand in for the programs: a coordinator that writes its address file, a labeler that waits.
class FleetTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(testing::TempDir()) / ("fleet_" + std::to_string(getpid())) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ / "bin");
    Program("ferment-coordinator", "echo \"$@\" >> " + (root_ / "coordinator.args").string() +
                                       "\nwhile [ \"$1\" != --address-file ]; do shift; done\n"
                                       "echo '{\"grpc\": \"127.0.0.1:4711\", \"admin\": \"127.0.0.1:4712\", \"pid\": "
                                       "'$$'}' > $2.part; mv $2.part $2\n"
                                       "trap 'exit 143' TERM; while :; do sleep 0.01; done");
    Program("ferment-labeler", "trap 'echo returned; exit 143' TERM; while :; do sleep 0.01; done");
  }

  void Program(const std::string& name, const std::string& script) {
    const auto file = root_ / "bin" / name;
    std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }

  FleetConfig Config() const {
    return {.programs = root_ / "bin",
            .labelers = 2,
            .max_restarts = 2,
            .first_pause = milliseconds(1),
            .longest_pause = milliseconds(2)};
  }

  std::unique_ptr<Fleet> MakeFleet() {
    return std::make_unique<Fleet>(layout(), Config(), SystemClock(),
                                   [this](const std::string& note) { notes_.push_back(note); });
  }

  RunLayout layout() const { return RunLayout(root_ / "run"); }

  std::vector<event::ProcessRecord> Living(const std::string& role) const {
    std::vector<event::ProcessRecord> living;
    for (const auto& record : event::ReadProcessRecords(layout().Processes())) {
      if (record.role == role && record.Alive()) living.push_back(record);
    }
    return living;
  }

  std::filesystem::path root_;
  std::vector<std::string> notes_;
};

TEST_F(FleetTest, KeepsTheCredentialsForOtherCoordinatorsFromItsChildren) {
  const std::filesystem::path seen = root_ / "seen";
  Program("ferment-labeler",
          "echo \"[$FERMENT_TLS_DIR$FERMENT_TLS_CERT$FERMENT_TLS_KEY$FERMENT_TLS_CA$FERMENT_TOKEN_FILE]\" > " +
              seen.string() + ".part; mv " + seen.string() + ".part " + seen.string() +
              "; trap 'exit 143' TERM; while :; do sleep 0.01; done");
  for (const char* name :
       {"FERMENT_TLS_DIR", "FERMENT_TLS_CERT", "FERMENT_TLS_KEY", "FERMENT_TLS_CA", "FERMENT_TOKEN_FILE"}) {
    setenv(name, "elsewhere", 1);
  }
  const auto fleet = MakeFleet();
  ASSERT_TRUE(fleet->Start(Never).ok());
  while (!std::filesystem::exists(seen)) std::this_thread::sleep_for(milliseconds(1));
  std::string text;
  std::ifstream(seen) >> text;
  EXPECT_EQ(text, "[]");
  for (const char* name :
       {"FERMENT_TLS_DIR", "FERMENT_TLS_CERT", "FERMENT_TLS_KEY", "FERMENT_TLS_CA", "FERMENT_TOKEN_FILE"}) {
    unsetenv(name);
  }
  fleet->Drain(Never);
}

TEST_F(FleetTest, StartsRecordsAndDrains) {
  const auto fleet = MakeFleet();
  ASSERT_TRUE(fleet->Start(Never).ok());
  EXPECT_EQ(fleet->address(), "127.0.0.1:4711");
  EXPECT_EQ(fleet->admin_address(), "127.0.0.1:4712");
  EXPECT_EQ(Living("coordinator").size(), 1U);
  EXPECT_EQ(Living("labeler").size(), 2U);
  EXPECT_TRUE(fleet->Tend("teacher").ok());
  fleet->Drain(Never);
  EXPECT_TRUE(event::ReadProcessRecords(layout().Processes()).empty());
}

TEST_F(FleetTest, TakesNoAddressOfACoordinatorOfBefore) {
  const auto file = root_ / "run" / "coordinator.json";
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << R"({"grpc": "127.0.0.1:1", "admin": "127.0.0.1:2", "pid": 1})";
  const auto fleet = MakeFleet();
  ASSERT_TRUE(fleet->Start(Never).ok());
  EXPECT_EQ(fleet->address(), "127.0.0.1:4711");
}

TEST_F(FleetTest, StartsADeadCoordinatorAgainOnTheSamePort) {
  const auto fleet = MakeFleet();
  ASSERT_TRUE(fleet->Start(Never).ok());
  kill(Living("coordinator").at(0).pid, SIGKILL);
  while (notes_.empty()) ASSERT_TRUE(fleet->Tend("teacher").ok());
  EXPECT_THAT(notes_[0], HasSubstr("coordinator ended with code 137"));
  while (Living("coordinator").empty()) ASSERT_TRUE(fleet->Tend("teacher").ok());
  std::string first;
  std::string second;
  while (second.empty()) {
    std::ifstream arguments(root_ / "coordinator.args");
    std::getline(arguments, first);
    std::getline(arguments, second);
  }
  EXPECT_THAT(first, HasSubstr("--listen 127.0.0.1:0"));
  EXPECT_THAT(second, HasSubstr("--listen 127.0.0.1:4711"));
}

TEST_F(FleetTest, GivesUpOnALabelerThatKeepsDying) {
  Program("ferment-labeler", "echo '{\"msg\": \"labeler.failed\", \"error\": \"no space\"}' >&2; exit 204");
  const auto fleet = MakeFleet();
  ASSERT_TRUE(fleet->Start(Never).ok());
  Status status;
  while (status.ok()) status = fleet->Tend("label");
  EXPECT_EQ(ProcessExitCode(status), exit_code::kStorageFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no space"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("labeler-"));
}

TEST_F(FleetTest, DoesNotRestartWhatARestartCannotCure) {
  Program("ferment-coordinator", "echo 'the port is bound' >&2; exit 69");
  const Status status = MakeFleet()->Start(Never);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the port is bound"));
}

TEST_F(FleetTest, SaysWhichProgramIsMissing) {
  std::filesystem::remove(root_ / "bin" / "ferment-labeler");
  const Status status = MakeFleet()->Start(Never);
  EXPECT_EQ(ProcessExitCode(status), exit_code::kMissingService);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ferment-labeler"));
}

TEST_F(FleetTest, LeavesNothingBehindWhenItIsDestroyed) {
  pid_t coordinator = 0;
  {
    const auto fleet = MakeFleet();
    ASSERT_TRUE(fleet->Start(Never).ok());
    coordinator = Living("coordinator").at(0).pid;
  }
  EXPECT_EQ(event::ProcessStartTime(coordinator), std::nullopt);
  EXPECT_TRUE(Living("labeler").empty());
}

TEST_F(FleetTest, CanBeInterruptedWhileStarting) {
  Program("ferment-coordinator", "sleep 60");
  const Status status = MakeFleet()->Start([] { return true; });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace ferment::cli
