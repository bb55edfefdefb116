// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

using testing::HasSubstr;

/// `ferment doctor` on the first of three hosts. Runs under three_hosts.sh.
class DoctorHosts : public RoadTest {
 protected:
  void SetUp() override {
    RoadTest::SetUp();
    ASSERT_NE(std::getenv("FERMENT_ON_H1"), nullptr) << "run by three_hosts.sh";
  }
  void TearDown() override {
    for (const std::string& undo : undo_) EXPECT_EQ(std::system(undo.c_str()), 0) << undo;
    RoadTest::TearDown();
  }

  /// What the doctor found, by check.
  std::map<std::string, Json> Examine(const std::vector<std::string>& words, const std::string& before = "true") {
    std::string command = before + "; exec \"$@\"";
    std::vector<std::string> argv = {std::getenv("FERMENT_ON_H1"),       "sh",     "-c",    command, "sh",
                                     (BinFolder() / "ferment").string(), "doctor", "--json"};
    argv.insert(argv.end(), words.begin(), words.end());
    const Outcome outcome = Run(argv);
    exit_code_ = outcome.exit_code;
    std::map<std::string, Json> findings;
    std::istringstream lines(outcome.output);
    for (std::string line; std::getline(lines, line);) {
      const auto json = ParseJson(line);
      EXPECT_TRUE(json) << line;
      if (json) findings[json->value("check", "")] = *json;
    }
    return findings;
  }

  /// On one host alone, `there` stands in the place of `file` until the end of the test.
  void Replace(const std::string& host, const std::string& file, const std::string& script) {
    const auto there = folder() / ("of_" + host);
    std::ofstream(there) << script;
    std::filesystem::permissions(there, std::filesystem::perms::all);
    const std::string enter = "nsenter --mount --target $(ip netns pids " + host + " | head -n 1) ";
    ASSERT_EQ(std::system((enter + "mount --bind " + there.string() + " " + file).c_str()), 0);
    undo_.push_back(enter + "umount " + file);
  }

  int exit_code_ = 0;
  std::vector<std::string> undo_;
};

bool Good(const std::map<std::string, Json>& findings, const std::string& check) {
  const auto found = findings.find(check);
  EXPECT_NE(found, findings.end()) << check;
  return found != findings.end() && found->second.value("good", false);
}

std::string Field(const std::map<std::string, Json>& findings, const std::string& check, const char* field) {
  const auto found = findings.find(check);
  return found == findings.end() ? "" : found->second.value(field, "");
}

TEST_F(DoctorHosts, HostsThatAreAlikeAreGood) {
  const auto findings = Examine({"--hosts", "h1:1,h2:1,h3"});
  EXPECT_EQ(exit_code_, 0);
  for (const auto& [check, finding] : findings) EXPECT_TRUE(Good(findings, check)) << finding.dump();
  EXPECT_EQ(Field(findings, "own name", "found"), "10.99.0.1, this machine");
  EXPECT_EQ(Field(findings, "host h1", "found"), "10.99.0.1, this machine");
  EXPECT_THAT(Field(findings, "libraries h2", "found"), HasSubstr("as here"));
  EXPECT_EQ(Field(findings, "host h3", "found"), "10.99.0.3 by e0 (10.99.0.1)");
  EXPECT_THAT(Field(findings, "network", "found"), HasSubstr("btl_tcp_if_include=e0"));
  EXPECT_EQ(findings.count("ssh h1"), 0U) << "mpirun starts nothing by ssh on its own host";
  for (const char* check : {"ssh h2", "clock h2", "trainer h3", "libraries h2", "mpirun h3"})
    EXPECT_EQ(findings.count(check), 1U);
}

TEST_F(DoctorHosts, AHostFileNamesThemToo) {
  const auto file = folder() / "hosts";
  std::ofstream(file) << "# those of the rack\nh2 slots=4\n\nh3 slots=4 max_slots=8 # new\n";
  const auto findings = Examine({"--hostfile", file.string()});
  EXPECT_EQ(exit_code_, 0);
  EXPECT_TRUE(Good(findings, "ssh h2"));
  EXPECT_TRUE(Good(findings, "ssh h3"));
}

TEST_F(DoctorHosts, AHostThatIsCutOffOrUnknownIsNamedAndTheOthersAreStillExamined) {
  ASSERT_EQ(std::system("ip -n switch link set p3 down"), 0);
  undo_.emplace_back("ip -n switch link set p3 up");
  const auto findings = Examine({"--hosts", "h2,h3,nobody.invalid"});
  EXPECT_EQ(exit_code_, 69);
  EXPECT_TRUE(Good(findings, "ssh h2"));
  EXPECT_FALSE(Good(findings, "ssh h3"));
  EXPECT_THAT(Field(findings, "ssh h3", "fix"), HasSubstr("ssh-copy-id h3"));
  EXPECT_FALSE(Good(findings, "host nobody.invalid"));
  EXPECT_THAT(Field(findings, "host nobody.invalid", "fix"), HasSubstr("/etc/hosts"));
}

TEST_F(DoctorHosts, AnotherTrainerOrMpirunIsNoticed) {
  Replace("h3", (BinFolder() / "ferment-trainer").string(), "#!/bin/sh\necho an older build\n");
  Replace("h2", "/usr/bin/mpirun", "#!/bin/sh\necho 'mpirun (Open MPI) 3.1.6'\n");
  const auto findings = Examine({"--hosts", "h2,h3"});
  EXPECT_EQ(exit_code_, 69);
  EXPECT_TRUE(Good(findings, "trainer h2"));
  EXPECT_FALSE(Good(findings, "trainer h3"));
  EXPECT_THAT(Field(findings, "trainer h3", "fix"), HasSubstr("rsync -a "));
  EXPECT_FALSE(Good(findings, "mpirun h2"));
  EXPECT_THAT(Field(findings, "mpirun h2", "found"), HasSubstr("3.1.6, here mpirun (Open MPI)"));
  EXPECT_TRUE(Good(findings, "mpirun h3"));
}

TEST_F(DoctorHosts, AnotherLibTorchIsNoticed) {
  const std::string ldd = "/usr/bin/ldd";
  Replace("h2", ldd, "#!/bin/sh\necho '\tlibc10.so => /etc/hosts/lib/libc10.so (0x0)'\n");
  Replace("h3", ldd, "#!/bin/sh\necho '\tlibtorch_cpu.so => not found'\necho '\tlibc10.so => not found'\n");
  const auto findings = Examine({"--hosts", "h2,h3"});
  EXPECT_EQ(exit_code_, 69);
  EXPECT_TRUE(Good(findings, "trainer h2"));
  EXPECT_FALSE(Good(findings, "libraries h2"));
  EXPECT_THAT(Field(findings, "libraries h2", "found"), HasSubstr("here libtorch"));
  EXPECT_FALSE(Good(findings, "libraries h3"));
  EXPECT_THAT(Field(findings, "libraries h3", "found"), HasSubstr("does not find libtorch_cpu.so libc10.so"));
}

TEST_F(DoctorHosts, AClockThatIsFarOffIsNoticed) {
  Replace("h2", "/usr/bin/date", "#!/bin/sh\necho 1000000000.5\n");
  const auto findings = Examine({"--hosts", "h2,h3"});
  EXPECT_FALSE(Good(findings, "clock h2"));
  EXPECT_THAT(Field(findings, "clock h2", "fix"), HasSubstr("NTP"));
  EXPECT_TRUE(Good(findings, "clock h3"));
  EXPECT_THAT(Field(findings, "clock h3", "found"), HasSubstr("give or take"));
}

TEST_F(DoctorHosts, AContainersSmallSharedMemoryIsNoticed) {
  const auto findings = Examine({}, "mount -t tmpfs -o size=64m tmpfs /dev/shm");
  EXPECT_FALSE(Good(findings, "/dev/shm"));
  EXPECT_THAT(Field(findings, "/dev/shm", "fix"), HasSubstr("--shm-size=1g"));
}

}  // namespace
}  // namespace ferment::road
