// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/nemesis.h"

#include <signal.h>

#include <fstream>

#include "tests/chaos/process_marks.h"

namespace ferment::chaos {
namespace {

/// Returns: the words of a file under /proc/PID that ends each with a NUL.
std::vector<std::string> WordsOf(pid_t pid, const char* file) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/" + file, std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  return words;
}

}  // namespace

using std::chrono::milliseconds;

const std::vector<Nemesis::Fault>& Nemesis::Faults() {
  static const std::vector<Fault> faults = {
      {"coordinator_killed", 4, &Nemesis::KillLeader},
      {"coordinator_told_to_leave", 2, &Nemesis::TellLeaderToLeave},
      {"coordinator_stopped", 3, &Nemesis::StopLeader},
      {"standby_killed", 1, &Nemesis::KillStandby},
      {"labeler_killed", 6, &Nemesis::KillLabeler},
      {"labeler_told_to_leave", 4, &Nemesis::TellLabelerToLeave},
      {"labeler_stopped", 4, &Nemesis::StopLabeler},
      {"trainer_killed", 2, &Nemesis::KillTrainer},
      {"trainer_stopped", 2, &Nemesis::StopTrainer},
      {"trainer_doubled", 2, &Nemesis::StartTrainerAgain},
      {"link_cut", 6, &Nemesis::CutLink},
      {"link_held", 6, &Nemesis::HoldLink},
      {"link_slow", 4, &Nemesis::SlowLink},
      {"clock_moved", 4, &Nemesis::MoveClock},
      {"store_crashed", 1, &Nemesis::CrashStore},
  };
  return faults;
}

void Nemesis::Step(Instant now) {
  while (!undo_.empty() && undo_.begin()->first <= now) {
    const auto undo = undo_.extract(undo_.begin());
    undo.mapped()();
  }
  if (next_ == Instant()) next_ = now + options_.pause;
  if (now < next_) return;
  next_ = now + Between(static_cast<int>(options_.pause.count() / 4), static_cast<int>(options_.pause.count()));
  int total = 0;
  for (const Fault& fault : Faults()) total += fault.weight;
  auto chosen = static_cast<int>(draw_.Below(static_cast<std::uint64_t>(total)));
  for (const Fault& fault : Faults()) {
    chosen -= fault.weight;
    if (chosen >= 0) continue;
    if ((this->*fault.strike)(now)) ++counts_[fault.name];
    return;
  }
}

void Nemesis::Heal() {
  while (!undo_.empty()) undo_.extract(undo_.begin()).mapped()();
  for (int i = 0; i < ChaosCluster::kCoordinators; ++i) cluster_.coordinator(i).Continue();
  for (const auto& labeler : cluster_.labelers()) labeler->Continue();
  for (const auto& relay : cluster_.relays()) relay->Set({});
}

milliseconds Nemesis::Between(int low_ms, int high_ms) {
  return milliseconds(low_ms + static_cast<int>(draw_.Below(static_cast<std::uint64_t>(high_ms - low_ms + 1))));
}

ChaosProcess& Nemesis::AnyLabeler() { return *cluster_.labelers()[draw_.Below(cluster_.labelers().size())]; }
std::size_t Nemesis::AnyLink() { return draw_.Below(cluster_.relays().size()); }

void Nemesis::Say(const std::string& what, const std::string& note) {
  cluster_.history().Add({.what = what, .outcome = "fault", .note = note});
}

bool Nemesis::KillLeader(Instant now) {
  const int leads = cluster_.leader();
  if (leads == ChaosCluster::kCoordinators || TooYoung(cluster_.coordinator(leads), now)) return false;
  Say("coordinator_killed", cluster_.coordinator(leads).name());
  cluster_.coordinator(leads).Kill();
  return true;
}

bool Nemesis::TellLeaderToLeave(Instant now) {
  const int leads = cluster_.leader();
  if (leads == ChaosCluster::kCoordinators || TooYoung(cluster_.coordinator(leads), now)) return false;
  ChaosProcess& leader = cluster_.coordinator(leads);
  if (leader.leaving_since()) return false;
  Say("coordinator_told_to_leave", leader.name());
  leader.TellToLeave(now);
  return true;
}

bool Nemesis::StopLeader(Instant now) {
  const int leads = cluster_.leader();
  if (leads == ChaosCluster::kCoordinators || cluster_.coordinator(leads).stopped()) return false;
  if (cluster_.coordinator(leads).leaving_since()) return false;
  // One in four stops is long enough for the other to take the lead where coordinators share a store.
  const bool shared = !cluster_.options().store.postgres.empty();
  const bool ends = shared && draw_.Below(4) == 0 && !TooYoung(cluster_.coordinator(leads), now);
  const milliseconds time = ends ? Between(9'500, 11'000) : Between(200, 3'000);
  Say("coordinator_stopped", cluster_.coordinator(leads).name() + " ms=" + std::to_string(time.count()));
  cluster_.coordinator(leads).StopUntil(now + time);
  return true;
}

bool Nemesis::KillStandby(Instant) {
  const int leads = cluster_.leader();
  if (leads == ChaosCluster::kCoordinators) return false;
  ChaosProcess& standby = cluster_.coordinator(1 - leads);
  if (!standby.running()) return false;
  Say("standby_killed", standby.name());
  standby.Kill();
  return true;
}

bool Nemesis::KillLabeler(Instant now) {
  ChaosProcess& labeler = AnyLabeler();
  if (!labeler.running() || TooYoung(labeler, now)) return false;
  Say("labeler_killed", labeler.name());
  labeler.Kill();
  return true;
}

bool Nemesis::TellLabelerToLeave(Instant now) {
  ChaosProcess& labeler = AnyLabeler();
  if (!labeler.running() || labeler.leaving_since() || TooYoung(labeler, now)) return false;
  Say("labeler_told_to_leave", labeler.name());
  labeler.TellToLeave(now);
  return true;
}

bool Nemesis::StopLabeler(Instant now) {
  ChaosProcess& labeler = AnyLabeler();
  if (!labeler.running() || labeler.stopped() || labeler.leaving_since()) return false;
  const auto lease = static_cast<int>(cluster_.options().lease.count());
  const milliseconds time = Between(lease / 4, 3 * lease);
  Say("labeler_stopped", labeler.name() + " ms=" + std::to_string(time.count()));
  labeler.StopUntil(now + time);
  return true;
}

bool Nemesis::KillTrainer(Instant) {
  if (options_.trainer_kills == 0) return false;
  const auto trainers = MarkedProcesses(options_.mark, cluster_.trainer_program());
  if (trainers.empty()) return false;
  --options_.trainer_kills;
  const pid_t pid = trainers[draw_.Below(trainers.size())];
  Say("trainer_killed", std::to_string(pid));
  kill(pid, SIGKILL);
  return true;
}

bool Nemesis::StopTrainer(Instant now) {
  const auto trainers = MarkedProcesses(options_.mark, cluster_.trainer_program());
  if (trainers.empty()) return false;
  const pid_t pid = trainers[draw_.Below(trainers.size())];
  const milliseconds time = Between(200, 4'000);
  Say("trainer_stopped", std::to_string(pid) + " ms=" + std::to_string(time.count()));
  kill(pid, SIGSTOP);
  Later(now + time, [pid] { kill(pid, SIGCONT); });
  return true;
}

bool Nemesis::StartTrainerAgain(Instant) {
  // A second rank of the real one would wait for the others of its world.
  if (cluster_.options().real_programs) return false;
  const auto trainers = MarkedProcesses(options_.mark, cluster_.trainer_program());
  if (trainers.empty()) return false;
  const pid_t pid = trainers[draw_.Below(trainers.size())];
  const auto argv = WordsOf(pid, "cmdline");
  std::vector<std::pair<std::string, std::string>> env;
  for (const std::string& word : WordsOf(pid, "environ")) {
    env.emplace_back(word.substr(0, word.find('=')), word.substr(word.find('=') + 1));
  }
  if (argv.empty() || env.empty()) return false;  // it has just ended
  Say("trainer_doubled", std::to_string(pid));
  auto started = event::ChildProcess::Start(
      {.argv = argv, .env = env, .output = cluster_.options().folder / "doubled-trainers.txt"});
  if (!started) return false;
  doubled_.push_back(std::move(*started));
  return true;
}

bool Nemesis::CutLink(Instant) {
  const std::size_t link = AnyLink();
  const CutKind kind = draw_.Below(2) == 0 ? CutKind::kClose : CutKind::kReset;
  Say("link_cut", "link=" + std::to_string(link));
  cluster_.relays()[link]->CutAll(kind);
  return true;
}

bool Nemesis::HoldLink(Instant now) {
  const std::size_t link = AnyLink();
  const std::uint64_t direction = draw_.Below(3);
  const milliseconds time = Between(100, 4'000);
  const bool lost = draw_.Below(2) == 0;
  Say("link_held", "link=" + std::to_string(link) + " direction=" + std::to_string(direction) +
                       " ms=" + std::to_string(time.count()) + (lost ? " and cut" : ""));
  FaultRelay& relay = *cluster_.relays()[link];
  relay.Set({.hold_to_server = direction != 1, .hold_to_client = direction != 0});
  Later(now + time, [&relay, lost] {
    if (lost) relay.CutAll(CutKind::kReset);
    relay.Set({});
  });
  return true;
}

bool Nemesis::SlowLink(Instant now) {
  const std::size_t link = AnyLink();
  const milliseconds delay = Between(5, 400);
  Say("link_slow", "link=" + std::to_string(link) + " delay_ms=" + std::to_string(delay.count()));
  FaultRelay& relay = *cluster_.relays()[link];
  relay.Set({.delay = delay});
  Later(now + Between(500, 4'000), [&relay] { relay.Set({}); });
  return true;
}

bool Nemesis::MoveClock(Instant) {
  if (!cluster_.options().clocks) return false;
  const std::uint64_t who = draw_.Below(cluster_.labelers().size() + ChaosCluster::kCoordinators);
  const std::string process = who < ChaosCluster::kCoordinators
                                  ? "coordinator-" + std::to_string(who)
                                  : "labeler-" + std::to_string(who - ChaosCluster::kCoordinators);
  const auto hours = static_cast<int>(draw_.Below(3)) - 1;
  Say("clock_moved", process + " hours=" + std::to_string(hours));
  cluster_.SetClock(process, std::chrono::hours(hours));
  return true;
}

bool Nemesis::CrashStore(Instant now) {
  if (options_.store_crashes == 0 || !options_.crash_store) return false;
  // Where the leader's session ends, the other may take over.
  const int leads = cluster_.leader();
  if (leads != ChaosCluster::kCoordinators && TooYoung(cluster_.coordinator(leads), now)) return false;
  --options_.store_crashes;
  Say("store_crashed", "");
  options_.crash_store();
  return true;
}

}  // namespace ferment::chaos
