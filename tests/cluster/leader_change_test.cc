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
  bool Says(const std::string& event) const {
    std::ifstream in(folder_ / "log");
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    return text.find(event) != std::string::npos;
  }

 private:
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
