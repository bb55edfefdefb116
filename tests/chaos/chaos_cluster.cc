// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "common/base/check.h"
#include "common/base/random.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// Below the range from which outgoing connections draw their ports: a coordinator that is down keeps its own.
std::uint16_t FreePort() {
  static std::uint16_t next = static_cast<std::uint16_t>(10'000 + getpid() % 1'000 * 20);
  for (int tries = 0; tries < 2'000; ++tries, ++next) {
    const int socket_handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(next);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool taken = bind(socket_handle, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0;  // NOLINT
    close(socket_handle);
    if (!taken) return next++;
  }
  FERMENT_CHECK(false) << "no free port below 32768";
  return 0;
}

/// What a process may leave with though nobody asked it to: killed, or fenced by a later one.
const std::set<int> kExpectedExits = {exit_code::kKilled, exit_code::kFenced};

/// A coordinator drains for 50 s at most.
constexpr std::chrono::minutes kTimeToLeave{1};

}  // namespace

fs::path ProgramsFolder() { return FERMENT_BIN_DIR; }
fs::path TestProgramsFolder() { return FERMENT_TESTS_DIR; }

ChaosCluster::ChaosCluster(const ClusterOptions& options)
    : options_(options), history_((fs::create_directories(options.folder / "history"), history_folder()), "harness") {
  MakeCertificates();
  MakeRelays();
  for (int i = 0; i < kCoordinators; ++i) {
    ports_.at(static_cast<std::size_t>(i)) = FreePort();
    SetClock("coordinator-" + std::to_string(i), std::chrono::seconds(0));
    if (i == 0 && options_.keep_rows) MakeKeepingStore();
    coordinators_.push_back(std::make_unique<ChaosProcess>(CoordinatorRecipe(i)));
  }
  // The first is the leader before the second tries.
  coordinators_[1]->RestartAfter(std::chrono::steady_clock::now() + milliseconds(1'500));
  for (int i = 0; i < options_.labelers; ++i) {
    SetClock("labeler-" + std::to_string(i), std::chrono::seconds(0));
    labelers_.push_back(std::make_unique<ChaosProcess>(LabelerRecipe(i)));
  }
}

void ChaosCluster::MakeCertificates() const {
  std::vector<std::string> argv = {(ProgramsFolder() / "ferment").string(), "dev-certs",
                                   (options_.folder / "certs").string()};
  for (int i = 0; i < options_.labelers; ++i) {
    argv.insert(argv.end(), {"--also", "labeler/" + std::to_string(i)});
  }
  SetClock("authority", -std::chrono::days(2));
  auto made = event::ChildProcess::Start(
      {.argv = argv, .env = ClockEnvironment("authority"), .output = options_.folder / "certs.txt"});
  FERMENT_CHECK(made && made->WaitFor(std::chrono::minutes(1)) == 0) << "no certificates: see certs.txt";
}

void ChaosCluster::MakeKeepingStore() const {
  ChaosProcess maker(CoordinatorRecipe(0));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!fs::exists(AddressFile(0)) && std::chrono::steady_clock::now() < deadline) {
    maker.Tick(std::chrono::steady_clock::now());
    std::this_thread::sleep_for(milliseconds(20));
  }
  FERMENT_CHECK(maker.Leave(std::chrono::minutes(1)) == exit_code::kTerminated) << "no store: see coordinator-0.txt";
  fs::remove(AddressFile(0));
  const Status keeping = KeepEveryRow(options_.store);
  FERMENT_CHECK(keeping.ok()) << keeping.ToString();
}

void ChaosCluster::MakeRelays() {
  for (int i = 0; i < options_.labelers + 2; ++i) {
    auto relay = FaultRelay::Start(loop_, [this] { return leader_port_.load(); });
    FERMENT_CHECK(relay.has_value()) << relay.error().ToString();
    relays_.push_back(std::move(*relay));
  }
  people_address_ = relays_.back()->address();
}

std::vector<std::pair<std::string, std::string>> ChaosCluster::ClockEnvironment(const std::string& process) const {
  if (!options_.clocks) return {};
  return {{"LD_PRELOAD", (TestProgramsFolder() / "libchaos_clock.so").string()},
          {"FERMENT_CHAOS_CLOCK", (options_.folder / ("clock-" + process)).string()}};
}

void ChaosCluster::SetClock(const std::string& process, std::chrono::seconds offset) const {
  if (!options_.clocks) return;
  const std::int64_t seconds = offset.count();
  const int file = open((options_.folder / ("clock-" + process)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  FERMENT_CHECK(file >= 0 && pwrite(file, &seconds, sizeof(seconds), 0) == sizeof(seconds)) << "clock=" << process;
  close(file);
}

fs::path ChaosCluster::AddressFile(int index) const {
  return options_.folder / ("address-" + std::to_string(index) + ".json");
}

fs::path ChaosCluster::AuditFile(int index) const {
  return options_.folder / ("audit-" + std::to_string(index) + ".jsonl");
}

ProcessRecipe ChaosCluster::CoordinatorRecipe(int index) const {
  const std::string name = "coordinator-" + std::to_string(index);
  ProcessRecipe recipe{name,
                       {(ProgramsFolder() / "ferment-coordinator").string(), "--store", options_.store.Flag(),
                        "--listen", "127.0.0.1:" + std::to_string(ports_.at(static_cast<std::size_t>(index))),
                        "--admin", "127.0.0.1:0", "--address-file", AddressFile(index).string(), "--tls-dir",
                        CertificatesOf("coordinator").string(), "--trainer-tls-dir", CertificatesOf("trainer").string(),
                        "--trainer", (TestProgramsFolder() / "chaos_trainer").string()},
                       ClockEnvironment(name),
                       options_.folder / (name + ".txt")};
  recipe.argv.insert(recipe.argv.end(), {"--audit-file", AuditFile(index).string()});
  recipe.argv.insert(recipe.argv.end(), {"--keep-runs", std::to_string(options_.keep_runs)});
  recipe.env.emplace_back("FERMENT_CHAOS_RELAY", relays_.at(relays_.size() - 2)->address());
  recipe.env.emplace_back("FERMENT_CHAOS_HISTORY", history_folder().string());
  if (options_.real_programs) {
    recipe.env.emplace_back("FERMENT_CHAOS_REAL_TRAINER", (ProgramsFolder() / "ferment-trainer").string());
  }
  return recipe;
}

ProcessRecipe ChaosCluster::LabelerRecipe(int index) const {
  const std::string name = "labeler-" + std::to_string(index);
  const std::string address = relays_.at(static_cast<std::size_t>(index))->address();
  const std::string tls = CertificatesOf(name).string();
  ProcessRecipe recipe{name, {}, ClockEnvironment(name), options_.folder / (name + ".txt")};
  const auto program =
      options_.real_programs ? ProgramsFolder() / "ferment-labeler" : TestProgramsFolder() / "chaos_labeler";
  recipe.argv = {program.string(), "--coordinator", address, "--tls-dir", tls, "--name", name};
  if (options_.real_programs) {
    recipe.argv.insert(recipe.argv.end(), {"--threads", "1"});
    return recipe;
  }
  recipe.argv.insert(recipe.argv.end(),
                     {"--history", history_folder().string(), "--work-ms", std::to_string(options_.work.count()),
                      "--sleep-one-in", std::to_string(options_.sleep_one_in), "--seed",
                      std::to_string(RandomBits(options_.seed, StreamOf(name), 0) >> 1U)});
  recipe.ends_own_stop = 3 * options_.lease;
  return recipe;
}

int ChaosCluster::leader() const {
  int best = kCoordinators;
  for (int i = 0; i < kCoordinators; ++i) {
    const auto& since = serves_since_.at(static_cast<std::size_t>(i));
    if (!since) continue;
    if (best == kCoordinators || *since > *serves_since_.at(static_cast<std::size_t>(best))) best = i;
  }
  return best;
}

void ChaosCluster::JudgeExit(const ChaosProcess& process, int code) {
  if (process.leaving_since() && code == exit_code::kTerminated) {
    history_.Add({.what = "left", .outcome = "ok", .note = process.name() + "/" + std::to_string(process.last_pid())});
    return;
  }
  if (kExpectedExits.contains(code)) return;
  breaches_.push_back(
      {process.leaving_since() ? "P13" : "exit", process.name() + " ended with " + std::to_string(code)});
}

void ChaosCluster::EndIfOverdue(ChaosProcess& process, Instant now) {
  const auto since = process.leaving_since();
  if (!since || !process.running() || now < *since + kTimeToLeave) return;
  breaches_.push_back({"P13", process.name() + " was told to leave and did not"});
  process.Kill();
}

void ChaosCluster::TickCoordinator(int index, Instant now) {
  ChaosProcess& process = coordinator(index);
  auto& since = serves_since_.at(static_cast<std::size_t>(index));
  const auto code = process.Tick(now);
  if (code) {
    history_.Add({.what = process.name(), .outcome = "exit", .note = std::to_string(*code)});
    since.reset();
    fs::remove(AddressFile(index));
    JudgeExit(process, *code);
    LookAtStore();
    // One whom the other keeps out tries again after a while, as its platform would have it.
    const std::uint64_t draw = RandomBits(options_.seed, StreamOf(process.name()), process.starts());
    process.RestartAfter(
        now + (*code == exit_code::kFenced ? milliseconds(1'000 + draw % 2'000) : milliseconds(50 + draw % 200)));
  }
  EndIfOverdue(process, now);
  if (!since && process.running() && !process.stopped() && fs::exists(AddressFile(index))) since = now;
}

Result<KeptStore> ChaosCluster::ReadWhatIsKept() const {
  if (options_.keep_rows) return ReadKeptStore(options_.store);
  FERMENT_ASSIGN_OR_RETURN(auto rows, ReadStore(options_.store));
  return KeptStore{std::move(rows), {}};
}

void ChaosCluster::LookAtStore() {
  for (const auto& one : coordinators_) {
    if (options_.store.postgres.empty() && one->running()) return;
  }
  const auto at = std::chrono::steady_clock::now().time_since_epoch();
  auto store = ReadWhatIsKept();
  if (!store) {
    if (store.error().code() != StatusCode::kUnavailable) breaches_.push_back({"P2", store.error().ToString()});
    return;
  }
  if (options_.keep_rows) JudgeSnapshot(*store, breaches_);
  MergeRows(std::move(store->all), rows_, breaches_);
  marks_.push_back({at, rows_.empty() ? 0 : rows_.back().sequence});
}

void ChaosCluster::Tick(Instant now) {
  for (int i = 0; i < kCoordinators; ++i) TickCoordinator(i, now);
  const int leads = leader();
  leader_port_ = leads == kCoordinators ? std::uint16_t{0} : ports_.at(static_cast<std::size_t>(leads));
  for (const auto& labeler : labelers_) {
    const auto code = labeler->Tick(now);
    if (!code) {
      EndIfOverdue(*labeler, now);
      continue;
    }
    history_.Add({.what = labeler->name(), .outcome = "exit", .note = std::to_string(*code)});
    JudgeExit(*labeler, *code);
    labeler->RestartAfter(now + milliseconds(50));
  }
}

void ChaosCluster::Leave() {
  const auto leave = [this](ChaosProcess& process) {
    if (!process.running()) return;
    const auto code = process.Leave(kTimeToLeave);
    if (code == exit_code::kTerminated || code == exit_code::kFenced) return;
    breaches_.push_back({"P13", process.name() + " was told to leave and " +
                                    (code ? "ended with " + std::to_string(*code) : "did not")});
    process.Kill();
  };
  for (const auto& labeler : labelers_) leave(*labeler);
  // Who stands by first, so that it does not take over.
  const int leads = leader();
  for (int i = 0; i < kCoordinators; ++i) {
    if (i != leads) leave(coordinator(i));
  }
  if (leads != kCoordinators) leave(coordinator(leads));
}

}  // namespace ferment::chaos
