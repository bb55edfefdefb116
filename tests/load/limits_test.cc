// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "tests/load/attackers.h"
#include "tests/load/load_figures.h"
#include "tests/load/secure_coordinator.h"

namespace ferment::load {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr double kGuessesASecond = 1'000;
constexpr int kGuessingChannels = 8;
constexpr double kConnectionsASecond = 1'000;
constexpr std::size_t kHeldConnections = 1'000;
constexpr std::size_t kSlowRequests = 200;
constexpr int kPeerLimit = 256;
// As RefusalLimit has it: wrong tokens that are answered one by one.
constexpr double kAnsweredAtOnce = 20;
constexpr double kAnsweredASecond = 2;
constexpr double kMostMib = 512;

using Ended = std::map<grpc::StatusCode, std::uint64_t>;

struct Attacks {
  bool guess = true;
  bool connect = true;
  bool slow = true;
};

std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// A coordinator with TLS.
struct Site {
  explicit Site(const std::string& name)
      : files(fs::path(::testing::TempDir()) / (name + "_files")),
        coordinator(fs::path(::testing::TempDir()) / name, 200'000,
                    [this] {
                      auto flags = files.Flags();
                      flags.insert(flags.end(), {"--max-connections-per-peer", std::to_string(kPeerLimit)});
                      return flags;
                    }()),
        trust(files.certificates.TrustOnly()) {}
  double RefusedOfAPeer() const {
    return coordinator.Metric(R"(ferment_admission_rejected_total{reason="connections_of_a_peer"})").value_or(0);
  }

  SecureFiles files;
  LoadedCoordinator coordinator;
  /// Of who has no certificate and no token.
  rpc::CredentialPaths trust;
};

/// A coordinator, its labelers by certificate, and whoever attacks it from another address.
class Limits : public ::testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> Open(const rpc::CredentialPaths& paths) const {
    return SecureFiles::Open(site_.coordinator.address(), paths);
  }
  /// A new person on a new connection, by a token that is right.
  Status AskAsAnn() {
    rpc::CredentialPaths paths = site_.trust;
    paths.token = site_.files.certificates.TrustOnly("token-of-ann").token;
    const auto runs = v1::RunService::NewStub(Open(paths));
    const auto answer = rpc::CallUnary(*runs, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest());
    return answer ? Status() : answer.error();
  }

  /// Returns: what the labelers saw while a coordinator was attacked, theirs or another one.
  bench::Load WorkUnder(const Attacks& attacks, double seconds, const Site& at) {
    if (!first_attack_) first_attack_ = std::chrono::steady_clock::now();
    std::optional<TokenGuesser> guesser;
    std::optional<ConnectionFlood> flood;
    std::optional<SlowRequests> slow;
    if (attacks.guess) guesser.emplace(at.coordinator.address(), at.trust, kGuessingChannels, kGuessesASecond);
    if (attacks.connect) flood.emplace(at.coordinator.address(), kHeldConnections, kConnectionsASecond);
    if (attacks.slow) slow.emplace(at.coordinator.admin(), kSlowRequests);
    bench::Load load;
    std::jthread working([&] { load = labelers_.Work(seconds); });
    while (attacks.slow && (slow->closed() < kSlowRequests || slow->letters() < kSlowRequests)) AskProbe();
    while (attacks.connect && (flood->closed() < kHeldConnections || at.RefusedOfAPeer() == 0)) AskProbe();
    EXPECT_EQ(AskAsAnn(), Status());
    EXPECT_EQ(AskProbe(), "alive");
    working.join();
    if (const auto ended = guesser ? guesser->Stop() : Ended(); &at == &site_) Note(ended);
    EXPECT_EQ(load.failed, 0U) << labelers_.failure();
    return load;
  }
  /// Each is answered, whoever else asks.
  std::string AskProbe() {
    // As often as all that probe and scrape together do.
    std::this_thread::sleep_for(50ms);
    ++probes_;
    const std::string answer = AskAdmin(site_.coordinator.admin(), "/livez");
    EXPECT_THAT(answer, HasSubstr("alive")) << "probe " << probes_;
    return answer.empty() ? "" : "alive";
  }

  /// T8.5, as far as it can be counted.
  void ExpectLimitsKept() {
    const std::uint64_t told = guesses_[grpc::StatusCode::UNAUTHENTICATED];
    const std::uint64_t counted = guesses_[grpc::StatusCode::RESOURCE_EXHAUSTED];
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - *first_attack_;
    std::uint64_t all = 0;
    for (const auto& [code, count] : guesses_) all += count;
    Tell("guesses", "told=" + std::to_string(told) + " only_counted=" + std::to_string(counted) +
                        " seconds=" + std::to_string(since.count()) + " probes=" + std::to_string(probes_));
    EXPECT_EQ(told + counted, all) << "a guess is answered as wrong, or as one too many, and never otherwise";
    EXPECT_GT(counted, 0U);
    EXPECT_LE(static_cast<double>(told), kAnsweredAtOnce + kAnsweredASecond * since.count() + 1);
    // Each that is told has a line in the log and one in the audit log, and no other has.
    EXPECT_EQ(Count(site_.coordinator.Log(), "rpc.refused"), told);
    EXPECT_EQ(Count(site_.files.AuditText(), R"("result":"UNAUTHENTICATED")"), told);
    EXPECT_EQ(Count(site_.files.AuditText(), R"("result":"RESOURCE_EXHAUSTED")"), 0U);
    EXPECT_THAT(site_.coordinator.Log(), ::testing::Not(HasSubstr("guess-")));
    EXPECT_GT(site_.RefusedOfAPeer(), 0) << "and told of while it went on";
    EXPECT_TRUE(site_.coordinator.IsAlive());
    EXPECT_LT(site_.coordinator.Now().peak_rss_mib, kMostMib);
    ExpectNothingLost(site_.coordinator, labelers_);
  }

  Site site_{"limits"};
  Labelers labelers_{
      [this](int number) { return Open(site_.files.certificates.Client("labeler/" + std::to_string(number))); }};

 private:
  Ended guesses_;
  std::optional<std::chrono::steady_clock::time_point> first_attack_;
  int probes_ = 0;

  void Note(const Ended& ended) {
    for (const auto& [code, count] : ended) guesses_[code] += count;
  }
};

TEST_F(Limits, WhoGuessesTokensFloodsWithConnectionsOrSendsSlowlyKeepsNobodyOut) {
  Tell("attacked", Figures(WorkUnder({}, 4, site_)) + " " + Figures(site_.coordinator.Now()));
  ExpectLimitsKept();
}

class LongLimits : public Limits {
 protected:
  void SetUp() override {
    if (std::getenv("FERMENT_LONG_TESTS") == nullptr)
      GTEST_SKIP() << "set FERMENT_LONG_TESTS=1 or run `make test-long`";
  }

  /// The same load in peace, beside a coordinator that is attacked on the same machine, and under the same attack, turn
  /// by turn: what the attackers themselves take of the processors falls on the last two alike.
  void TellLatencies(const char* name, const Attacks& attacks, int turns) {
    constexpr double kSeconds = 5;
    std::vector<double> quiet, beside, attacked, to_quiet, to_beside;
    for (int turn = 0; turn < turns; ++turn) {
      quiet.push_back(labelers_.Work(kSeconds).Quantile(0.99));
      beside.push_back(WorkUnder(attacks, kSeconds, neighbour_).Quantile(0.99));
      attacked.push_back(WorkUnder(attacks, kSeconds, site_).Quantile(0.99));
      to_quiet.push_back(attacked.back() / quiet.back());
      to_beside.push_back(attacked.back() / beside.back());
    }
    Tell(name, "p99_ms quiet=" + std::to_string(Median(quiet)) + " beside=" + std::to_string(Median(beside)) +
                   " attacked=" + std::to_string(Median(attacked)) + " median_ratio to_quiet=" +
                   std::to_string(Median(to_quiet)) + " to_beside=" + std::to_string(Median(to_beside)));
  }

  Site neighbour_{"neighbour"};
};

TEST_F(LongLimits, WhoGuessesTokensFloodsWithConnectionsOrSendsSlowlyKeepsNobodyOut) {
  (void)labelers_.Work(5);
  TellLatencies("guesses_alone", {.guess = true, .connect = false, .slow = false}, 3);
  TellLatencies("connections_alone", {.guess = false, .connect = true, .slow = false}, 3);
  TellLatencies("slow_requests_alone", {.guess = false, .connect = false, .slow = true}, 3);
  TellLatencies("all", {}, 5);
  ExpectLimitsKept();
}

}  // namespace
}  // namespace ferment::load
