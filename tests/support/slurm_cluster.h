// SPDX-License-Identifier: Apache-2.0
//
// A Slurm of the test's own on this machine: munged, a controller, three nodes of two cores, on ports that were free.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace ferment::testing {

/// SLURM_CONF of this process names it from Start on, so that all programs that the test starts find it. Ends with the
/// object, with every process that carries that variable.
class SlurmCluster {
 public:
  static constexpr int kNodes = 3;

  /// Returns: the program that is not installed; "": all are.
  static std::string MissingProgram();
  /// Returns: nullptr, and fails the test, where it does not come up. Requires: no missing program.
  static std::unique_ptr<SlurmCluster> Start();
  ~SlurmCluster();
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;

  /// In good order, with its state saved; jobs go on.
  void StopController();
  /// On the same state; waits until it answers.
  void StartController();
  /// Kills the node's daemon, what runs on it and all steps, as a power cut does; the controller is told that it is
  /// down.
  void LoseNode(int node);
  /// Returns: what squeue prints without its header; asks again where the controller is too busy to answer.
  std::string Queue(const std::string& options = "") const;
  /// Returns: what the words printed, as a shell runs them.
  std::string Shell(const std::string& words) const;

 private:
  explicit SlurmCluster(std::filesystem::path folder) : folder_(std::move(folder)) {}
  bool ChoosePorts();
  void WriteConfiguration() const;
  bool StartMunge();
  void StartNode(int node);
  bool AwaitNodes() const;
  pid_t Spawn(const std::vector<std::string>& words, const std::string& log, bool as_munge = false) const;

  const std::filesystem::path folder_;
  std::array<int, kNodes + 1> ports_ = {};
  pid_t munge_ = 0;
  pid_t controller_ = 0;
  std::array<pid_t, kNodes> nodes_ = {};
};

}  // namespace ferment::testing
