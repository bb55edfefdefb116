// SPDX-License-Identifier: Apache-2.0
//
// Real coordinators on one store, real labelers with certificates, a relay before each of them; and who restarts them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/chaos/chaos_history.h"
#include "tests/chaos/chaos_oracle.h"
#include "tests/chaos/chaos_process.h"
#include "tests/chaos/chaos_store.h"
#include "tests/chaos/fault_relay.h"

namespace ferment::chaos {

struct ClusterOptions {
  /// Everything of the round lies in it.
  std::filesystem::path folder = {};
  StoreAddress store = {};
  int labelers = 6;
  /// ferment-labeler and ferment-trainer; else chaos_labeler and chaos_trainer.
  bool real_programs = false;
  /// Every process has a wall clock of its own that SetClock moves.
  bool clocks = false;
  std::chrono::milliseconds lease{1'000};
  /// What chaos_labeler takes for a batch.
  std::chrono::milliseconds work{20};
  /// It stops itself before one commit in so many.
  int sleep_one_in = 60;
  /// The log lives long enough for snapshots: see KeepEveryRow.
  bool keep_rows = false;
  /// Runs that have ended and that a coordinator remembers.
  int keep_runs = 500;
  std::uint64_t seed = 1;
};

/// Thread: one; the relays have theirs.
class ChaosCluster {
 public:
  static constexpr int kCoordinators = 2;

  /// Makes certificates and relays; starts nothing. Ends the process where that fails.
  explicit ChaosCluster(const ClusterOptions& options);

  /// Restarts who ended, lets go on whose stop is over, sends the relays to the leader. Call every few milliseconds.
  void Tick(Instant now);
  /// TERM to all, labelers first. Breach of P13 where one does not leave with 143 within a minute.
  void Leave();
  /// Looks at the store, unless somebody has a SQLite file open: see StoreMark.
  void LookAtStore();

  /// Returns: the coordinator that serves, or kCoordinators.
  int leader() const;
  ChaosProcess& coordinator(int index) { return *coordinators_.at(static_cast<std::size_t>(index)); }
  std::vector<std::unique_ptr<ChaosProcess>>& labelers() { return labelers_; }
  /// One a labeler, then that of the trainers, then that of the people.
  std::vector<std::unique_ptr<FaultRelay>>& relays() { return relays_; }
  const std::string& address_for_people() const { return people_address_; }
  std::filesystem::path CertificatesOf(const std::string& role) const { return options_.folder / "certs" / role; }
  std::filesystem::path AuditFile(int index) const;
  /// Of a process of this name, from now on; "trainers" have that of their coordinator.
  void SetClock(const std::string& process, std::chrono::seconds offset) const;
  std::string trainer_program() const { return options_.real_programs ? "ferment-trainer" : "chaos_trainer"; }

  HistoryWriter& history() { return history_; }
  std::filesystem::path history_folder() const { return options_.folder / "history"; }
  const ClusterOptions& options() const { return options_; }
  const std::vector<StoredRow>& rows() const { return rows_; }
  const std::vector<StoreMark>& marks() const { return marks_; }
  std::vector<Breach>& breaches() { return breaches_; }

 private:
  void MakeCertificates() const;
  void MakeRelays();
  /// A coordinator makes the store and leaves.
  void MakeKeepingStore() const;
  ProcessRecipe CoordinatorRecipe(int index) const;
  ProcessRecipe LabelerRecipe(int index) const;
  std::vector<std::pair<std::string, std::string>> ClockEnvironment(const std::string& process) const;
  std::filesystem::path AddressFile(int index) const;
  void TickCoordinator(int index, Instant now);
  /// Breach of P13 where it was told to leave and did otherwise, of "exit" where nobody told it.
  void JudgeExit(const ChaosProcess& process, int code);
  /// One that was told to leave is killed, as a breach, when it takes too long.
  void EndIfOverdue(ChaosProcess& process, Instant now);
  Result<KeptStore> ReadWhatIsKept() const;

  const ClusterOptions options_;
  HistoryWriter history_;
  event::EventLoop loop_;
  std::atomic<std::uint16_t> leader_port_{0};
  std::vector<std::unique_ptr<FaultRelay>> relays_;
  std::string people_address_;
  std::array<std::uint16_t, kCoordinators> ports_{};
  std::vector<std::unique_ptr<ChaosProcess>> coordinators_;
  /// When each was first seen serving; never where it does not.
  std::array<std::optional<Instant>, kCoordinators> serves_since_;
  std::vector<std::unique_ptr<ChaosProcess>> labelers_;
  std::vector<StoredRow> rows_;
  std::vector<StoreMark> marks_;
  std::vector<Breach> breaches_;
};

/// Returns: the folders of the built programs and of those of the tests.
std::filesystem::path ProgramsFolder();
std::filesystem::path TestProgramsFolder();

}  // namespace ferment::chaos
