// SPDX-License-Identifier: Apache-2.0
//
// Jobs of three ranks on three hosts, and what befalls them.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/road/road_fixture.h"

namespace ferment::road {

enum class RankFault {
  /// SIGKILL.
  kKill,
  /// SIGSTOP.
  kStop,
  /// Its main thread is held, as by a lock that nobody gives back; the others of its process run.
  kHold,
};

/// What a job said of a fault, and when.
struct Naming {
  /// The first line rank_lost; null where there was none.
  Json line;
  double named_after_seconds = 0;
  double ended_after_seconds = 0;
  Outcome outcome;
};

/// Runs under three_hosts.sh. Numbers are drawn from a seed that is printed, or given as FERMENT_FAULT_SEED.
class RankFaultTest : public RoadTest {
 protected:
  static constexpr int kRanks = 3;
  /// As many as a job logs one by one; minutes of work.
  static constexpr int kManySteps = 2000;

  static void SetUpTestSuite();
  void SetUp() override;

  /// Starts co-training of so many steps in a run folder that is emptied before.
  event::ChildProcess StartJob(int steps);
  /// Returns: pids of the processes that are ranks, by rank, as the kernel has them.
  static std::map<int, pid_t> FindRanks();
  /// Waits until all ranks run and so many steps are made. Returns: whether they were.
  bool WaitForStep(event::ChildProcess& job, int step);
  int StepsMade() const;
  std::string Output() const;

  /// Starts a job and brings the fault on one rank, at a step that is drawn.
  Naming Inflict(RankFault fault, int rank);
  /// As Inflict, and expects that the job names the rank in time and ends with the code.
  void ExpectNamed(RankFault fault, int rank, const std::string& what, int exit_code);
  static void ExpectNoProcessOfTheJob();

  std::mt19937 draw_;

 private:
  static std::filesystem::path data_;
  std::map<int, pid_t> ranks_;
};

}  // namespace ferment::road
