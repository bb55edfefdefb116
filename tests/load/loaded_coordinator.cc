// SPDX-License-Identifier: Apache-2.0
#include "tests/load/loaded_coordinator.h"

#include <signal.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "bench/lease_log.h"
#include "common/base/json.h"
#include "coordinator/core/job_book.h"
#include "coordinator/store/sqlite_event_store.h"

namespace ferment::load {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

// gRPC keeps a few threads for the next calls, and a socket until its client's last word is through.
constexpr int kMoreThreads = 24;
constexpr int kMoreFiles = 8;
constexpr std::chrono::milliseconds kLookAgain{100};

std::string TextOf(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

LoadedCoordinator::LoadedCoordinator(fs::path folder, std::uint64_t shards, std::vector<std::string> flags)
    : folder_(std::move(folder)) {
  fs::remove_all(folder_);
  fs::create_directories(folder_);
  bench::WriteLeaseLog({.store = folder_ / "ferment.db",
                        .run_dir = folder_ / "run",
                        .spec = FERMENT_SOURCE_DIR "/examples/demo.yaml",
                        .shards = shards});
  const fs::path address_file = folder_ / "address.json";
  std::vector<std::string> argv = {FERMENT_BIN_DIR "/ferment-coordinator",
                                   "--store",
                                   "sqlite:" + (folder_ / "ferment.db").string(),
                                   "--listen",
                                   "127.0.0.1:0",
                                   "--admin",
                                   "127.0.0.1:0",
                                   "--address-file",
                                   address_file.string()};
  argv.insert(argv.end(), flags.begin(), flags.end());
  auto started = event::ChildProcess::Start({.argv = std::move(argv), .output = folder_ / "coordinator.txt"});
  if (!started) throw std::runtime_error(started.error().ToString());
  process_ = std::move(*started);
  const auto deadline = steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(address_file)) {
    if (!IsAlive() || steady_clock::now() > deadline) throw std::runtime_error(TextOf(folder_ / "coordinator.txt"));
    std::this_thread::sleep_for(kLookAgain);
  }
  const Json served = ParseJson(TextOf(address_file)).value_or(Json::object());
  address_ = served.value("grpc", "");
  admin_ = served.value("admin", "");
}

LoadedCoordinator::~LoadedCoordinator() {
  process_->SignalGroup(SIGKILL);
  process_->WaitFor(std::chrono::seconds(30));
}

ProcessResources LoadedCoordinator::Now() const {
  return testing::ReadResources(process_->pid()).value_or(ProcessResources{});
}

bool LoadedCoordinator::ComesDownTo(const ProcessResources& before, std::chrono::seconds patience) const {
  const auto deadline = steady_clock::now() + patience;
  while (steady_clock::now() < deadline) {
    const ProcessResources now = Now();
    if (now.files <= before.files + kMoreFiles && now.threads <= before.threads + kMoreThreads) return true;
    std::this_thread::sleep_for(kLookAgain);
  }
  return false;
}

std::optional<double> LoadedCoordinator::Metric(const std::string& name) const {
  std::istringstream lines(AskAdmin(admin_, "/metrics"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  return std::nullopt;
}

std::string LoadedCoordinator::Log() const { return TextOf(folder_ / "coordinator.txt"); }

int LoadedCoordinator::Leave() { return process_->End(std::chrono::seconds(60)); }

std::set<std::uint64_t> LoadedCoordinator::CommittedShards() const {
  auto store = coordinator::OpenSqliteEventStore(folder_ / "ferment.db");
  if (!store) throw std::runtime_error(store.error().ToString());
  coordinator::JobBook book;
  const Status replayed = (*store)->Replay([&](const coordinator::Event& event) {
    book.Apply(event);
    return Status();
  });
  if (!replayed.ok()) throw std::runtime_error(replayed.ToString());
  std::set<std::uint64_t> committed;
  for (const coordinator::Job& job : book.FindRun(bench::kLeaseRun)->jobs) {
    for (std::uint64_t i = 0; i < job.shards.size(); ++i) {
      if (job.shards[i].state == coordinator::ShardState::kCommitted) committed.insert(i);
    }
  }
  return committed;
}

}  // namespace ferment::load
