// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cli/coordinator_client.h"
#include "common/base/json.h"
#include "common/config/spec_defaults.h"
#include "common/io/folder_hold.h"
#include "common/rpc/health_question.h"
#include "tests/support/admin_question.h"
#include "tests/support/postgres_server.h"

namespace ferment::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// A ferment-coordinator process on ports of its own.
class Coordinator {
 public:
  /// `mpirun`: what it starts trainers with.
  Coordinator(const std::string& store, const std::string& name, const std::string& mpirun = "mpirun")
      : folder_(std::filesystem::path(::testing::TempDir()) / ("leader-" + std::to_string(getpid()) + "-" + name)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    const std::string address_file = AddressFile();
    pid_ = fork();
    if (pid_ != 0) return;
    if (freopen((folder_ / "log").c_str(), "w", stderr) == nullptr) _exit(1);
    execl(FERMENT_BIN_DIR "/ferment-coordinator", "ferment-coordinator", "--store", store.c_str(), "--listen",
          "127.0.0.1:0", "--admin", "127.0.0.1:0", "--address-file", address_file.c_str(), "--mpirun", mpirun.c_str(),
          "--trainer", "/bin/true", nullptr);
    _exit(1);
  }
  ~Coordinator() {
    if (pid_ == 0) return;
    kill(pid_, SIGCONT);
    kill(pid_, SIGKILL);
    Exit();
  }
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  void Signal(int signal) const { kill(pid_, signal); }
  int Exit() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  bool Serves() const { return std::filesystem::exists(AddressFile()); }
  std::string Address() const {
    std::ifstream in(AddressFile());
    const auto json = ParseJson(std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
    return json ? json->value("grpc", "") : "";
  }
  bool Says(const std::string& event) const { return Log().find(event) != std::string::npos; }
  /// Returns: what its admin port answers; it must have logged where that is.
  std::string Ask(const std::string& path) const {
    const std::string log = Log();
    const std::size_t begin = log.find("http://") + 7;
    return AskAdmin(log.substr(begin, log.find('/', begin) - begin), path);
  }
  bool Tells(const std::string& metric_and_value) const {
    return Ask("/metrics").find("\nferment_" + metric_and_value + "\n") != std::string::npos;
  }

 private:
  std::string Log() const {
    std::ifstream in(folder_ / "log");
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  std::string AddressFile() const { return (folder_ / "address.json").string(); }

  std::filesystem::path folder_;
  pid_t pid_ = 0;
};

/// Returns: how long it took; a minute where it did not come.
template <typename Condition>
milliseconds TimeUntil(Condition condition) {
  const auto begin = steady_clock::now();
  while (!condition() && steady_clock::now() - begin < seconds(60)) std::this_thread::sleep_for(milliseconds(10));
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

/// Two real coordinators on one real PostgreSQL: who leads when one dies or is stopped.
class LeaderChangeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = PostgresServer::Start();
    if (server_ == nullptr) GTEST_SKIP() << "PostgreSQL 15 is not installed";
    store_ = server_->FreshDatabase();
  }
  std::string Term() { return RunSql(store_, "SELECT term FROM ferment_leader"); }

  std::unique_ptr<PostgresServer> server_;
  std::string store_;
};

TEST_F(LeaderChangeTest, TheOneStandingByLeadsWithinFiveSecondsOfAKill) {
  Coordinator first(store_, "first");
  ASSERT_LT(TimeUntil([&] { return first.Serves(); }), seconds(30));
  Coordinator second(store_, "second");
  ASSERT_LT(TimeUntil([&] { return second.Says("coordinator.stands_by"); }), seconds(30));
  EXPECT_FALSE(second.Serves());
  first.Signal(SIGKILL);
  const milliseconds taken = TimeUntil([&] { return second.Serves(); });
  std::printf("kill -9: the other leads after %lld ms\n", static_cast<long long>(taken.count()));
  EXPECT_LT(taken, seconds(5));
  EXPECT_EQ(Term(), "2");
}

TEST_F(LeaderChangeTest, OneThatWasStoppedLosesTheLeadWithinFifteenSecondsAndEndsFencedWhenItGoesOn) {
  Coordinator first(store_, "stopped");
  ASSERT_LT(TimeUntil([&] { return first.Serves(); }), seconds(30));
  Coordinator second(store_, "standby");
  ASSERT_LT(TimeUntil([&] { return second.Says("coordinator.stands_by"); }), seconds(30));
  first.Signal(SIGSTOP);
  const milliseconds taken = TimeUntil([&] { return second.Serves(); });
  std::printf("SIGSTOP: the other leads after %lld ms\n", static_cast<long long>(taken.count()));
  EXPECT_LT(taken, seconds(15));
  first.Signal(SIGCONT);
  EXPECT_EQ(first.Exit(), 202);
  EXPECT_EQ(Term(), "2");
  EXPECT_EQ(RunSql(store_,
                   "SELECT count(*) FROM ferment_event e, ferment_event n WHERE e.term < n.term AND "
                   "e.sequence > n.sequence"),
            "0")
      << "a row of the former term behind one of the latter";
}

TEST_F(LeaderChangeTest, TheRunOfOneThatIsStoppedIsTakenOverWithItsFolder) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / ("leader-" + std::to_string(getpid()) + "-taken");
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto mpirun = folder / "mpirun";
  std::ofstream(mpirun) << "#!/bin/sh\ntrap 'exit 143' USR2\nwhile :; do sleep 0.02; done\n";
  std::filesystem::permissions(mpirun, std::filesystem::perms::owner_all);
  Coordinator first(store_, "holds", mpirun.string());
  ASSERT_LT(TimeUntil([&] { return first.Serves(); }), seconds(30));
  Coordinator second(store_, "takes", mpirun.string());
  ASSERT_LT(TimeUntil([&] { return second.Says("coordinator.stands_by"); }), seconds(30));

  v1::SubmitRunRequest request;
  request.set_run_dir((folder / "run").string());
  *request.mutable_spec() = DefaultSpec();
  request.mutable_spec()->set_name("taken");
  ASSERT_TRUE(cli::CoordinatorClient(first.Address(), seconds(30)).Submit(request));
  ASSERT_LT(TimeUntil([&] { return first.Says("job.launched"); }), seconds(30));
  first.Signal(SIGSTOP);
  ASSERT_LT(TimeUntil([&] { return second.Says("job.adopted"); }), seconds(30));
  first.Signal(SIGCONT);
  EXPECT_EQ(first.Exit(), 202);
  EXPECT_FALSE(second.Says("run.not_prepared"));
  const auto other = io::FolderHold::Take(folder / "run", "another");
  EXPECT_FALSE(other) << "it is the second one's";
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Exit(), 143);
  EXPECT_TRUE(io::FolderHold::Take(folder / "run", "another"));
}

TEST_F(LeaderChangeTest, OneWhoseStoreDoesNotAnswerIsNotReadyUntilItDoes) {
  Coordinator leads(store_, "asks");
  ASSERT_LT(TimeUntil([&] { return leads.Serves(); }), seconds(30));
  const auto healthy = [channel = rpc::OpenChannel(leads.Address())](const std::string& service) {
    return rpc::AskWhetherServing(channel, service, {}).value_or(false);
  };
  EXPECT_NE(leads.Ask("/readyz").find(" 200 "), std::string::npos);
  EXPECT_TRUE(leads.Tells("coordinator_leading 1"));
  EXPECT_TRUE(leads.Tells("store_connected 1"));
  EXPECT_TRUE(healthy("ferment.v1.LeaseService"));
  EXPECT_TRUE(leads.Says("host=/tmp/")) << "store.open";
  EXPECT_FALSE(leads.Says("postgresql://"));

  // Its session hangs, as where a network drops what is sent.
  const int session = std::stoi(RunSql(store_, "SELECT backend FROM ferment_leader"));
  ASSERT_EQ(kill(session, SIGSTOP), 0);
  const milliseconds taken = TimeUntil([&] { return leads.Ask("/readyz").find(" 503 ") != std::string::npos; });
  EXPECT_GT(taken, seconds(2));
  EXPECT_LT(taken, seconds(8));
  EXPECT_NE(leads.Ask("/readyz").find("the store does not answer"), std::string::npos);
  EXPECT_TRUE(leads.Tells("coordinator_leading 0"));
  EXPECT_TRUE(leads.Tells("store_connected 0"));
  EXPECT_FALSE(healthy("ferment.v1.LeaseService"));
  EXPECT_FALSE(healthy(""));
  EXPECT_NE(leads.Ask("/livez").find(" 200 "), std::string::npos);

  ASSERT_EQ(kill(session, SIGCONT), 0);
  EXPECT_LT(TimeUntil([&] { return leads.Ask("/readyz").find(" 200 ") != std::string::npos; }), seconds(20));
  EXPECT_TRUE(leads.Tells("coordinator_leading 1"));
  EXPECT_TRUE(leads.Tells("store_connected 1"));
  EXPECT_TRUE(healthy("ferment.v1.LeaseService"));
  EXPECT_TRUE(leads.Says("coordinator.unready"));
}

TEST_F(LeaderChangeTest, OneThatStandsByTellsWhetherItsStoreIsThere) {
  Coordinator first(store_, "before");
  ASSERT_LT(TimeUntil([&] { return first.Serves(); }), seconds(30));
  Coordinator second(store_, "behind");
  ASSERT_LT(TimeUntil([&] { return second.Says("coordinator.stands_by"); }), seconds(30));
  EXPECT_NE(second.Ask("/readyz").find("standing by"), std::string::npos);
  EXPECT_TRUE(second.Tells("store_connected 1"));
  EXPECT_TRUE(second.Tells("coordinator_leading 0"));
  server_->Stop();
  EXPECT_LT(TimeUntil([&] { return second.Tells("store_connected 0"); }), seconds(8));
  EXPECT_NE(second.Ask("/readyz").find("the store does not answer"), std::string::npos);
  EXPECT_LT(TimeUntil([&] { return first.Tells("coordinator_leading 0"); }), seconds(8));
  server_->StartAgain();
  EXPECT_LT(TimeUntil([&] { return second.Tells("store_connected 1"); }), seconds(20));
}

TEST_F(LeaderChangeTest, OneThatStandsByLeavesWhenAsked) {
  Coordinator first(store_, "leads");
  ASSERT_LT(TimeUntil([&] { return first.Serves(); }), seconds(30));
  Coordinator second(store_, "leaves");
  ASSERT_LT(TimeUntil([&] { return second.Says("coordinator.stands_by"); }), seconds(30));
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Exit(), 143);
}

}  // namespace
}  // namespace ferment::testing
