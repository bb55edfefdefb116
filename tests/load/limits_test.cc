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

/// A coordinator with TLS, its labelers by certificate, and whoever attacks it from another address.
class Limits : public ::testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> Open(const rpc::CredentialPaths& paths) const {
    return SecureFiles::Open(coordinator_.address(), paths);
  }
  /// A new person on a new connection, by a token that is right.
  Status AskAsAnn() {
    rpc::CredentialPaths paths = trust_;
    paths.token = files_.certificates.TrustOnly("token-of-ann").token;
    const auto runs = v1::RunService::NewStub(Open(paths));
    const auto answer = rpc::CallUnary(*runs, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest());
    return answer ? Status() : answer.error();
  }

  /// Returns: what the labelers saw meanwhile.
  bench::Load WorkUnder(const Attacks& attacks, double seconds) {
    if (!first_attack_) first_attack_ = std::chrono::steady_clock::now();
    std::optional<TokenGuesser> guesser;
    std::optional<ConnectionFlood> flood;
    std::optional<SlowRequests> slow;
    if (attacks.guess) guesser.emplace(coordinator_.address(), trust_, kGuessingChannels, kGuessesASecond);
    if (attacks.connect) flood.emplace(coordinator_.address(), kHeldConnections, kConnectionsASecond);
    if (attacks.slow) slow.emplace(coordinator_.admin(), kSlowRequests);
    bench::Load load;
    std::jthread working([&] { load = labelers_.Work(seconds); });
    while (attacks.slow && (slow->closed() < kSlowRequests || slow->letters() < kSlowRequests)) AskProbe();
    while (attacks.connect && (flood->closed() < kHeldConnections || RefusedOfAPeer() == 0)) AskProbe();
    EXPECT_EQ(AskAsAnn(), Status());
    EXPECT_EQ(AskProbe(), "alive");
    working.join();
    if (guesser) Note(guesser->Stop());
    EXPECT_EQ(load.failed, 0U) << labelers_.failure();
    return load;
  }
  /// Each is answered, whoever else asks.
  std::string AskProbe() {
    // As often as all that probe and scrape together do.
    std::this_thread::sleep_for(50ms);
    ++probes_;
    const std::string answer = AskAdmin(coordinator_.admin(), "/livez");
    EXPECT_THAT(answer, HasSubstr("alive")) << "probe " << probes_;
    return answer.empty() ? "" : "alive";
  }

  double RefusedOfAPeer() const {
    return coordinator_.Metric(R"(ferment_admission_rejected_total{reason="connections_of_a_peer"})").value_or(0);
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
    EXPECT_EQ(Count(coordinator_.Log(), "rpc.refused"), told);
    EXPECT_EQ(Count(files_.AuditText(), R"("result":"UNAUTHENTICATED")"), told);
    EXPECT_EQ(Count(files_.AuditText(), R"("result":"RESOURCE_EXHAUSTED")"), 0U);
    EXPECT_THAT(coordinator_.Log(), ::testing::Not(HasSubstr("guess-")));
    EXPECT_GT(RefusedOfAPeer(), 0) << "and told of while it went on";
    EXPECT_TRUE(coordinator_.IsAlive());
    EXPECT_LT(coordinator_.Now().peak_rss_mib, kMostMib);
    ExpectNothingLost(coordinator_, labelers_);
  }

  /// The same load without and with the attacks, turn by turn; the machine's other work falls on both.
  void TellLatencies(const char* name, const Attacks& attacks, int turns, double seconds) {
    std::vector<double> ratios, quiet, attacked;
    for (int turn = 0; turn < turns; ++turn) {
      quiet.push_back(labelers_.Work(seconds).Quantile(0.99));
      attacked.push_back(WorkUnder(attacks, seconds).Quantile(0.99));
      ratios.push_back(attacked.back() / quiet.back());
    }
    Tell(name, "p99_ms_quiet=" + std::to_string(Median(quiet)) + " p99_ms_attacked=" +
                   std::to_string(Median(attacked)) + " median_ratio=" + std::to_string(Median(ratios)) +
                   " least=" + std::to_string(*std::min_element(ratios.begin(), ratios.end())) +
                   " most=" + std::to_string(*std::max_element(ratios.begin(), ratios.end())));
  }

  SecureFiles files_{fs::path(::testing::TempDir()) / "limits_files"};
  LoadedCoordinator coordinator_{
      fs::path(::testing::TempDir()) / "limits", 200'000, [this] {
        auto flags = files_.Flags();
        flags.insert(flags.end(), {"--max-connections-per-peer", std::to_string(kPeerLimit)});
        return flags;
      }()};
  const rpc::CredentialPaths trust_ = files_.certificates.TrustOnly();
  Labelers labelers_{
      [this](int number) { return Open(files_.certificates.Client("labeler/" + std::to_string(number))); }};

 private:
  std::map<grpc::StatusCode, std::uint64_t> guesses_;
  std::optional<std::chrono::steady_clock::time_point> first_attack_;
  int probes_ = 0;

  void Note(const std::map<grpc::StatusCode, std::uint64_t>& ended) {
    for (const auto& [code, count] : ended) guesses_[code] += count;
  }
};

TEST_F(Limits, WhoGuessesTokensFloodsWithConnectionsOrSendsSlowlyKeepsNobodyOut) {
  Tell("attacked", Figures(WorkUnder({}, 4)) + " " + Figures(coordinator_.Now()));
  ExpectLimitsKept();
}

class LongLimits : public Limits {
 protected:
  void SetUp() override {
    if (std::getenv("FERMENT_LONG_TESTS") == nullptr)
      GTEST_SKIP() << "set FERMENT_LONG_TESTS=1 or run `make test-long`";
  }
};

TEST_F(LongLimits, WhoGuessesTokensFloodsWithConnectionsOrSendsSlowlyKeepsNobodyOut) {
  (void)labelers_.Work(5);
  TellLatencies("guesses_alone", {.guess = true, .connect = false, .slow = false}, 3, 5);
  TellLatencies("connections_alone", {.guess = false, .connect = true, .slow = false}, 3, 5);
  TellLatencies("slow_requests_alone", {.guess = false, .connect = false, .slow = true}, 3, 5);
  TellLatencies("all", {}, 7, 5);
  ExpectLimitsKept();
}

}  // namespace
}  // namespace ferment::load
