// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/road/road_fixture.h"

namespace ferment::road {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string TextOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class SecureRoad : public RoadTest {
 protected:
  std::string Program(const std::string& name) const { return (BinFolder() / name).string(); }
  std::string Certs(const std::string& name) const { return (folder() / "certs" / name).string(); }
  std::string At(const std::string& name) const { return (folder() / name).string(); }
  Outcome Ferment(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Program("ferment"));
    return Run(arguments);
  }
  event::ChildProcess Background(std::vector<std::string> argv, const std::string& log) const {
    auto started = event::ChildProcess::Start({.argv = std::move(argv), .output = folder() / log});
    EXPECT_TRUE(started);
    return std::move(*started);
  }
  /// What a person with this token says of themself.
  std::vector<std::string> As(const std::string& token_file) const {
    return {"--tls-ca", Certs("ca/ca.crt"), "--token-file", At(token_file)};
  }
  static std::vector<std::string> With(std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// The tokens, and of each private key a line that only it has.
  std::vector<std::string> Secrets() const {
    std::vector<std::string> secrets;
    for (const char* file : {"ann", "carl", "mallory"}) {
      secrets.push_back(TextOf(folder() / file));
      if (secrets.back().ends_with('\n')) secrets.back().pop_back();
    }
    for (const auto& entry : fs::recursive_directory_iterator(folder() / "certs")) {
      if (entry.path().extension() != ".key") continue;
      std::istringstream lines(TextOf(entry.path()));
      std::string line;
      for (int number = 0; number < 3; ++number) std::getline(lines, line);
      secrets.push_back(line);
    }
    return secrets;
  }
  /// No file of the test but the secrets' own holds one of them.
  void ExpectNoSecretOutside() const {
    const std::vector<std::string> secrets = Secrets();
    EXPECT_GE(secrets.size(), 10U);
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder())) {
      const std::string name = entry.path().filename().string();
      const bool own = entry.path().extension() == ".key" || name == "ann" || name == "carl" || name == "mallory";
      if (!entry.is_regular_file() || own) continue;
      const std::string text = TextOf(entry.path());
      ++files;
      EXPECT_EQ(text.find("PRIVATE KEY"), std::string::npos) << entry.path();
      for (const std::string& secret : secrets) {
        ASSERT_GE(secret.size(), 16U);
        EXPECT_EQ(text.find(secret), std::string::npos) << entry.path();
      }
    }
    EXPECT_GT(files, 30) << "logs, audit log, event log and results were to be looked at";
  }
};

TEST_F(SecureRoad, TakesARunThroughWithCertificatesAndTokensAndGivesNoSecretAway) {
  ASSERT_EQ(Ferment({"dev-certs", Certs(""), "--also", "labeler/one"}).exit_code, 0);
  for (const auto& [name, role] : {std::pair("ann", "submitter"), std::pair("carl", "reader")}) {
    ASSERT_EQ(Ferment({"new-token", name, role, "--tokens", At("tokens"), "--out", At(name)}).exit_code, 0);
  }
  std::ofstream(folder() / "mallory") << "canary-7f3a-guessed-by-mallory\n";
  const auto address_file = folder() / "address.json";
  event::ChildProcess coordinator =
      Background({Program("ferment-coordinator"), "--store", "sqlite:" + At("ferment.db"), "--listen", "127.0.0.1:0",
                  "--admin", "127.0.0.1:0", "--address-file", address_file.string(), "--tls-dir", Certs("coordinator"),
                  "--trainer-tls-dir", Certs("trainer"), "--tokens", At("tokens"), "--audit-file", At("audit.jsonl")},
                 "coordinator.txt");
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return fs::exists(address_file); })) << TextOf(folder() / "coordinator.txt");
  const std::vector<std::string> there = {"--coordinator", ReadJson(address_file)["grpc"]};
  const auto spec = fs::path(FERMENT_SOURCE_DIR) / "tests/road/tiny.yaml";
  const auto submit = With({"submit", spec.string(), "--run-dir", run_dir().string()}, there);

  EXPECT_EQ(Ferment(With({"get"}, there)).exit_code, 69) << "plaintext never becomes a call";
  EXPECT_EQ(Ferment(With(submit, As("carl"))).exit_code, 77) << "a reader submits nothing";
  EXPECT_EQ(Ferment(With(With({"get"}, there), As("mallory"))).exit_code, 77);
  EXPECT_EQ(Ferment(With(With({"get"}, there), {"--tls-dir", Certs("labeler")})).exit_code, 77);
  const Outcome submitted = Ferment(With(submit, As("ann")));
  ASSERT_EQ(submitted.exit_code, 0) << submitted.output;

  event::ChildProcess labeler =
      Background(With({Program("ferment-labeler"), "--tls-dir", Certs("labeler-one")}, there), "labeler.txt");
  ASSERT_TRUE(WaitUntil(coordinator, [&] { return HasResult("teacher"); })) << TextOf(folder() / "coordinator.txt");
  EXPECT_EQ(Ferment({"dev-certs", Certs(""), "--also", "labeler/one", "--force"}).exit_code, 0) << "renewed in mid-run";
  EXPECT_EQ(Ferment(With(With({"wait", "tiny-1"}, there), As("ann"))).exit_code, 0);
  ExpectFinishedRun();
  const Outcome got = Ferment(With(With({"get", "tiny-1"}, there), {"--tls-dir", Certs("reader")}));
  EXPECT_THAT(got.output, HasSubstr("succeeded"));
  EXPECT_EQ(Ferment(With(With({"cancel", "tiny-1"}, there), {"--tls-dir", Certs("reader")})).exit_code, 77);

  EXPECT_EQ(Ferment({"dev-certs", Certs(""), "--revoke", "labeler/one"}).exit_code, 0);
  EXPECT_EQ(Wait(labeler).exit_code, 77) << TextOf(folder() / "labeler.txt");
  EXPECT_THAT(TextOf(folder() / "labeler.txt"), HasSubstr("this certificate has been revoked: who=labeler/one"));
  coordinator.Signal(SIGTERM);
  EXPECT_EQ(Wait(coordinator).exit_code, 143);

  const Outcome audit = Ferment({"audit", "verify", At("audit.jsonl")});
  EXPECT_EQ(audit.exit_code, 0) << audit.output;
  const std::string lines = TextOf(folder() / "audit.jsonl");
  EXPECT_THAT(
      lines,
      HasSubstr(
          R"("who":"token:ann","role":"submitter","method":"ferment.v1.RunService/SubmitRun","run":"tiny-1","result":"OK")"));
  EXPECT_THAT(
      lines,
      HasSubstr(
          R"("who":"token:carl","role":"reader","method":"ferment.v1.RunService/SubmitRun","run":"","result":"PERMISSION_DENIED")"));
  EXPECT_THAT(
      lines,
      HasSubstr(
          R"("who":"labeler/one","role":"labeler","method":"ferment.v1.LeaseService/CommitShard","run":"tiny-1","result":"OK")"));
  EXPECT_THAT(
      lines,
      HasSubstr(
          R"("who":"trainer","role":"trainer","method":"ferment.v1.TrainerService/CompleteJob","run":"tiny-1","result":"OK")"));
  EXPECT_THAT(
      lines,
      HasSubstr(R"("who":"","role":"","method":"ferment.v1.RunService/ListRuns","run":"","result":"UNAUTHENTICATED")"));
  EXPECT_THAT(TextOf(folder() / "coordinator.txt"), HasSubstr("rpc.refused"));
  EXPECT_THAT(TextOf(folder() / "coordinator.txt"), HasSubstr("revocations.read"));
  ExpectNoSecretOutside();
}

TEST_F(SecureRoad, DoesNotStartWithHalfOfWhatSecurityNeeds) {
  ASSERT_EQ(Ferment({"dev-certs", Certs("")}).exit_code, 0);
  const auto start = [&](const std::vector<std::string>& more) {
    return Run(With({Program("ferment-coordinator"), "--store", "sqlite:" + At("ferment.db"), "--admin", "127.0.0.1:0"},
                    more));
  };
  EXPECT_EQ(start({"--listen", "0.0.0.0:0"}).exit_code, 77) << "for others without TLS";
  EXPECT_EQ(start({"--listen", "127.0.0.1:0", "--tls-dir", Certs("coordinator")}).exit_code, 2)
      << "no trainers' folder";
  EXPECT_EQ(start({"--listen", "127.0.0.1:0", "--tokens", At("tokens")}).exit_code, 2) << "tokens in the clear";
  const std::vector<std::string> tls = {"--listen", "127.0.0.1:0", "--trainer-tls-dir", Certs("trainer"), "--tls-dir"};
  EXPECT_EQ(start(With(tls, {Certs("none")})).exit_code, 2);
  EXPECT_EQ(start(With(tls, {Certs("labeler")})).exit_code, 77) << "a certificate that is no coordinator's";
  EXPECT_EQ(start(With(tls, {Certs("coordinator"), "--tls-key", Certs("labeler/tls.key")})).exit_code, 77);
  std::ofstream(folder() / "tokens") << "ann root canary-in-the-tokens\n";
  const Outcome wrong = start(With(tls, {Certs("coordinator"), "--tokens", At("tokens")}));
  EXPECT_EQ(wrong.exit_code, 77);
  EXPECT_THAT(wrong.output, HasSubstr("line 1"));
  EXPECT_THAT(wrong.output, Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace ferment::road
