// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "bench/load_client.h"
#include "common/rpc/grpc_status.h"
#include "tests/cluster/lease_cluster_fixture.h"
#include "tests/support/file_openings.h"
#include "tests/support/secure_cluster.h"

namespace ferment::testing {
namespace {

using namespace std::chrono_literals;

struct Scale {
  int rotations = 20;
  /// Half of each by certificate, half by token, but for watchers: a stream ends with the token that it came by.
  int labelers = 16;
  int readers = 2;
  int watchers = 8;
};
constexpr Scale kLong{.rotations = 100, .labelers = 64, .readers = 4, .watchers = 32};
// Of one labeler: T6.1 has 564 of 64.
constexpr std::chrono::milliseconds kCallEach{1000 * 64 / 564};
// Nothing that is asserted hangs on it: who has not looked at its files by then never does.
constexpr std::chrono::seconds kPatience{60};

/// Makes one call after another until it is told to stop, each tried once.
class Caller {
 public:
  explicit Caller(std::function<Status()> call)
      : call_(std::move(call)), thread_([this](const std::stop_token& stop) {
          for (auto due = std::chrono::steady_clock::now(); !stop.stop_requested(); due += kCallEach) {
            std::this_thread::sleep_until(due);
            const Status status = call_();
            if (!status.ok() && failures_++ == 0) first_failure_ = status.ToString();
            ++calls_;
          }
        }) {}
  void Stop() {
    thread_.request_stop();
    thread_.join();
  }
  int calls() const { return calls_; }
  int failures() const { return failures_; }
  /// Requires: stopped.
  const std::string& first_failure() const { return first_failure_; }

 private:
  const std::function<Status()> call_;
  std::atomic<int> calls_{0};
  std::atomic<int> failures_{0};
  std::string first_failure_;
  std::jthread thread_;
};

/// Somebody with a folder of certificates, or of trusted authorities and a token.
struct Bearer {
  std::string name;
  v1::Role role;
  rpc::CredentialPaths paths;
};

/// A coordinator with young connections, each made with what the files say at that time, and all who call it.
class Rotation : public ::testing::Test {
 protected:
  /// T8.2.
  void Rotate(const Scale& scale) {
    Start(scale);
    for (int round = 1; round <= scale.rotations && !HasFatalFailure(); ++round) {
      Renew(round);
      AwaitRound(round);
    }
    ExpectNoFailure(scale);
  }

  SecureCluster secure_{"rotation", 300ms};

 private:
  void Start(const Scale& scale) {
    authorities_ = {TestCertificates::MakeAuthority(), secure_.certificates.key(), TestCertificates::MakeAuthority()};
    secure_.cluster->world().run_files.label_shards = 200'000;
    StartLabelling();
    for (int i = 0; i < scale.labelers; ++i) AddBearer("lab-" + std::to_string(i), v1::ROLE_LABELER, i % 2 == 0);
    for (int i = 0; i < scale.readers; ++i) AddBearer("look-" + std::to_string(i), v1::ROLE_READER, i % 2 == 0);
    Renew(0);
    for (std::size_t i = 0; i < bearers_.size(); ++i) AddCaller(bearers_[i], static_cast<int>(i));
    const Bearer watcher{"watcher", v1::ROLE_READER, secure_.certificates.Client("reader/watcher")};
    for (int i = 0; i < scale.watchers; ++i) Watch(watcher);
    AwaitRound(0);
  }

  /// New certificates by another authority, trusted since the round before, and other tokens. Who has not yet seen
  /// them, and still has what the round before gave out, gets on with those who have.
  void Renew(int round) {
    TestCertificates& certificates = secure_.certificates;
    for (auto one = authorities_.begin(); round > 0 && one + 1 != authorities_.end(); ++one) *one = *(one + 1);
    if (round > 0) authorities_[2] = TestCertificates::MakeAuthority();
    certificates.UseAuthority(authorities_[1]);
    std::string trusted;
    for (const auto& authority : authorities_) trusted += authority.certificate;
    // Somebody else's certificate, of this round's authority.
    certificates.Revoke(certificates.Client("reader/gone"));
    certificates.Issue("coordinator", TestCertificates::Uri("coordinator"), {"localhost", "127.0.0.1"},
                       FromHours(-1, 24), trusted);
    std::string lines;
    for (const Bearer& bearer : bearers_) lines += RenewOne(bearer, round, trusted);
    // The new tokens are known before they are used, those of the round before until all have left them.
    secure_.WriteTokens(lines + former_lines_);
    former_lines_ = lines;
    for (const Bearer& bearer : bearers_) {
      if (!bearer.paths.token.empty()) Replace(bearer.paths.token, TokenOf(bearer, round) + "\n");
    }
  }

  /// Until nobody has anything that is older than this round's.
  void AwaitRound(int round) {
    FileOpenings openings;
    // gRPC reads the authorities first: who begins anew uses what it had read before.
    for (const Bearer& bearer : bearers_) openings.Want(bearer.paths.authorities, 2);
    ASSERT_TRUE(openings.Come(kPatience)) << "round " << round;
    ASSERT_TRUE(TakesTheNextAuthority()) << "round " << round;
    std::vector<int> calls;
    for (const auto& caller : callers_) calls.push_back(caller->calls());
    for (std::size_t i = 0; i < callers_.size(); ++i) {
      ASSERT_TRUE(Eventually([&] { return callers_[i]->calls() >= calls[i] + 2; })) << bearers_[i].name;
    }
    ASSERT_TRUE(Eventually([&] { return secure_.HasCalled("reader/" + NameIn(round, "look-0")); }))
        << "the renewed certificate is not used: round=" << round;
    ASSERT_TRUE(Eventually([&] { return ServersCertificates() > static_cast<std::size_t>(round); }))
        << "the coordinator does not show its renewed certificate: round=" << round;
  }

  void ExpectNoFailure(const Scale& scale) {
    int calls = 0;
    for (std::size_t i = 0; i < callers_.size(); ++i) {
      callers_[i]->Stop();
      calls += callers_[i]->calls();
      EXPECT_EQ(callers_[i]->failures(), 0) << bearers_[i].name << ": " << callers_[i]->first_failure();
    }
    EXPECT_EQ(lost_streams_, 0) << "of " << scale.watchers;
    std::printf("%d rotations, %d calls of %zu callers, %zu certificates of the coordinator seen\n", scale.rotations,
                calls, callers_.size(), ServersCertificates());
  }

  static std::string NameIn(int round, const std::string& name) { return name + ".r" + std::to_string(round); }
  static std::string TokenOf(const Bearer& bearer, int round) { return "token-of-" + NameIn(round, bearer.name); }
  static void Replace(const std::filesystem::path& file, const std::string& text) {
    const std::filesystem::path made = file.string() + ".new";
    std::ofstream(made) << text;
    std::filesystem::rename(made, file);
  }

  /// Waits for this round's authorities. Returns: whether the coordinator has come to have them.
  bool TakesTheNextAuthority() {
    TestCertificates& certificates = secure_.certificates;
    certificates.UseAuthority(authorities_[2]);
    const std::string trusted = authorities_[1].certificate + authorities_[0].certificate;
    const auto paths =
        certificates.Issue("early", TestCertificates::Uri("reader/early"), {}, FromHours(-1, 24), trusted);
    certificates.UseAuthority(authorities_[1]);
    const auto stub = v1::RunService::NewStub(secure_.Open(paths));
    return rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest(), {.retry_for = kPatience})
        .has_value();
  }
  void AddBearer(const std::string& name, v1::Role role, bool by_certificate) {
    Bearer bearer{name, role, secure_.certificates.Paths(name)};
    if (!by_certificate) {
      std::filesystem::create_directories(secure_.certificates.folder() / name);
      bearer.paths = {{}, {}, bearer.paths.authorities, {}};
      bearer.paths.token = secure_.certificates.folder() / (name + ".token");
      Replace(bearer.paths.token, TokenOf(bearer, 0) + "\n");
    }
    bearers_.push_back(bearer);
  }
  /// Returns: the line of its new token; nothing for a certificate. A labeler's lease belongs to its name, a reader
  /// gets another one each time, by which its calls tell which certificate they came with.
  std::string RenewOne(const Bearer& bearer, int round, const std::string& trusted) {
    if (bearer.paths.token.empty()) {
      const std::string name = bearer.role == v1::ROLE_READER ? NameIn(round, bearer.name) : bearer.name;
      secure_.certificates.Issue(bearer.name, TestCertificates::Uri(rpc::RoleName(bearer.role) + "/" + name), {},
                                 FromHours(-1, 24), trusted);
      return "";
    }
    Replace(bearer.paths.authorities, trusted);
    return rpc::TokenLine({bearer.name, bearer.role, rpc::HashOfToken(TokenOf(bearer, round)), std::nullopt}) + "\n";
  }

  void AddCaller(const Bearer& bearer, int number) {
    const auto channel = secure_.Open(bearer.paths);
    if (bearer.role == v1::ROLE_LABELER) {
      auto client = std::make_shared<bench::LoadClient>(channel, number);
      const Status registered = client->Register();
      FERMENT_CHECK(registered.ok()) << registered.ToString();
      callers_.push_back(std::make_unique<Caller>(
          [client, turn = 0]() mutable { return ++turn % 9 == 0 ? client->Renew() : client->Cycle(); }));
      return;
    }
    std::shared_ptr<v1::RunService::Stub> runs = v1::RunService::NewStub(channel);
    callers_.push_back(std::make_unique<Caller>([this, runs] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + 30s);
      v1::ListRunsResponse response;
      const grpc::Status status = runs->ListRuns(&context, {}, &response);
      const auto certificate = context.auth_context()->FindPropertyValues("x509_pem_cert");
      const MutexLock lock(mutex_);
      if (!certificate.empty()) seen_.emplace(certificate.front().data(), certificate.front().size());
      return rpc::FromGrpc(status);
    }));
  }
  std::size_t ServersCertificates() {
    const MutexLock lock(mutex_);
    return seen_.size();
  }

  void Watch(const Bearer& watcher) {
    std::shared_ptr<v1::RunService::Stub> runs = v1::RunService::NewStub(secure_.Open(watcher.paths));
    watches_.emplace_back([this, runs](const std::stop_token& stop) {
      grpc::ClientContext context;
      const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
      v1::WatchRunRequest request;
      request.set_run_id(run_id_);
      const auto reader = runs->WatchRun(&context, request);
      v1::WatchRunResponse response;
      while (reader->Read(&response)) {
      }
      (void)reader->Finish();
      if (!stop.stop_requested()) ++lost_streams_;
    });
  }

  void StartLabelling() {
    const auto submitter = v1::RunService::NewStub(secure_.Open(secure_.certificates.Client("submitter")));
    const auto trainer = v1::TrainerService::NewStub(secure_.Open(secure_.certificates.Client("trainer")));
    run_id_ = BringToLabelling(*secure_.cluster, *submitter, *trainer);
    ASSERT_NE(run_id_, "");
  }

  /// Of the round before, of this one, and of the next.
  std::array<rpc::KeyAndCertificate, 3> authorities_;
  std::vector<Bearer> bearers_;
  std::string former_lines_;
  std::string run_id_;
  Mutex mutex_;
  std::set<std::string> seen_ FERMENT_GUARDED_BY(mutex_);
  std::atomic<int> lost_streams_{0};
  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::jthread> watches_;
};

TEST_F(Rotation, OfCertificatesAuthoritiesAndTokensLosesNoCall) { Rotate({}); }

TEST_F(Rotation, ATokenThatIsStruckOutIsRefusedAtOnce) {
  secure_.WriteTokens(rpc::TokenLine({"ann", v1::ROLE_READER, rpc::HashOfToken("anns-token"), std::nullopt}) + "\n");
  const auto stub = v1::RunService::NewStub(secure_.Open(secure_.certificates.TrustOnly("anns-token")));
  EXPECT_TRUE(rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest()));
  secure_.WriteTokens("");
  const auto refused = rpc::CallUnary(*stub, &v1::RunService::Stub::ListRuns, v1::ListRunsRequest());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kUnauthenticated);
}

class LongRotation : public Rotation {};

TEST_F(LongRotation, OfCertificatesAuthoritiesAndTokensLosesNoCall) {
  if (std::getenv("FERMENT_LONG_TESTS") == nullptr) {
    GTEST_SKIP() << "it takes minutes; set FERMENT_LONG_TESTS=1 or run `make test-long`";
  }
  Rotate(kLong);
}

}  // namespace
}  // namespace ferment::testing
