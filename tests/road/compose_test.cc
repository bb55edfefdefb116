// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The commands of deploy/compose.yaml on this host, its volumes being folders of the test: no Docker runs here.
class Compose : public RoadTest {
 protected:
  void SetUp() override {
    RoadTest::SetUp();
    std::filesystem::create_directories(folder() / "runs");
    std::filesystem::create_directories(folder() / "tls");
  }

  /// Returns: a service's entrypoint, or `program`, and its command.
  std::vector<std::string> CommandOf(const std::string& service, const std::string& program = "") const {
    std::vector<std::string> argv;
    if (!program.empty()) argv.push_back((BinFolder() / program).string());
    for (const char* part : {"entrypoint", "command"}) {
      for (const YAML::Node& word : services_[service][part]) argv.push_back(Here(word.as<std::string>()));
    }
    return argv;
  }
  Outcome MakeCertificates() {
    const char* path = std::getenv("PATH");
    return Run(CommandOf("certificates"), {{"PATH", BinFolder().string() + ":" + (path != nullptr ? path : "")}});
  }
  std::string Here(std::string text) const {
    for (const auto& [theirs, ours] :
         std::vector<std::pair<std::string, std::string>>{{"/tls", (folder() / "tls").string()},
                                                          {"/runs", (folder() / "runs").string()},
                                                          {"0.0.0.0:7070", "127.0.0.1:0"},
                                                          {"0.0.0.0:7071", "127.0.0.1:0"},
                                                          {"coordinator:7070", address_}}) {
      for (auto at = text.find(theirs); at != std::string::npos; at = text.find(theirs, at + ours.size()))
        text.replace(at, theirs.size(), ours);
    }
    return text;
  }
  std::string TextOf(const std::string& file) const {
    std::ifstream in(folder() / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  event::ChildProcess Background(std::vector<std::string> argv, const std::string& log) const {
    auto started = event::ChildProcess::Start({.argv = std::move(argv), .output = folder() / log});
    EXPECT_TRUE(started);
    return std::move(*started);
  }

  const YAML::Node services_ = YAML::LoadFile(FERMENT_SOURCE_DIR "/deploy/compose.yaml")["services"];
  std::string address_;
};

TEST_F(Compose, ItsCoordinatorAndLabelersMeetByCertificatesThatItMakesOnce) {
  Outcome made = MakeCertificates();
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const std::string first = TextOf("tls/ca/ca.crt");
  made = MakeCertificates();
  EXPECT_EQ(made.exit_code, 0) << made.output;
  EXPECT_EQ(TextOf("tls/ca/ca.crt"), first) << "started again";

  std::vector<std::string> command = CommandOf("coordinator", "ferment-coordinator");
  const auto address_file = folder() / "address.json";
  command.insert(command.end(), {"--address-file", address_file.string()});
  event::ChildProcess coordinator = Background(command, "coordinator.txt");
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return std::filesystem::exists(address_file); }))
      << TextOf("coordinator.txt");
  address_ = ReadJson(address_file)["grpc"];
  const std::string ferment = (BinFolder() / "ferment").string();
  EXPECT_EQ(Run({ferment, "get", "--coordinator", address_}).exit_code, 69) << "plaintext never becomes a call";
  std::vector<std::pair<std::string, std::string>> environment;
  for (const auto& variable : services_["ferment"]["environment"])
    environment.emplace_back(variable.first.as<std::string>(), Here(variable.second.as<std::string>()));
  const Outcome got = Run({ferment, "get"}, environment);
  EXPECT_EQ(got.exit_code, 0) << got.output;

  event::ChildProcess labeler = Background(CommandOf("labeler", "ferment-labeler"), "labeler.txt");
  EXPECT_TRUE(WaitUntil(labeler, [&] {
    return TextOf("coordinator.txt").find("labeler.registered") != std::string::npos;
  })) << TextOf("labeler.txt");
  for (event::ChildProcess* process : {&labeler, &coordinator}) {
    process->Signal(SIGTERM);
    Wait(*process);
  }
  EXPECT_THAT(TextOf("coordinator.txt"), Not(HasSubstr("coordinator.insecure")));
}

// Whoever has the authority's key is everybody.
TEST_F(Compose, EachServiceSeesItsOwnCertificateAlone) {
  ASSERT_EQ(MakeCertificates().exit_code, 0);
  for (const auto& service : services_) {
    const std::string name = service.first.as<std::string>();
    if (name == "certificates") continue;
    int own = 0;
    for (const YAML::Node& volume : service.second["volumes"]) {
      if (!volume.IsMap()) {
        EXPECT_THAT(volume.as<std::string>(), Not(HasSubstr("tls"))) << name;
        continue;
      }
      const auto subpath = volume["volume"]["subpath"].as<std::string>();
      EXPECT_NE(subpath, "ca") << name;
      EXPECT_EQ(volume["target"].as<std::string>(), "/tls/" + subpath) << name;
      EXPECT_TRUE(std::filesystem::exists(folder() / "tls" / subpath / "tls.crt")) << name;
      ++own;
    }
    EXPECT_EQ(own, name == "coordinator" ? 2 : 1) << name;
  }
}

}  // namespace
}  // namespace ferment::road
