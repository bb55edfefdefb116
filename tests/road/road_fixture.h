// SPDX-License-Identifier: Apache-2.0
//
// Starts real ferment programs on the tiny spec and looks at what they leave behind.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/event/child_process.h"

namespace ferment::road {

/// Output of a finished program.
struct Outcome {
  int exit_code;
  std::string output;
};

/// A test on the whole road, in a folder of its own that is gone afterwards.
class RoadTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::filesystem::path folder() const { return folder_; }
  std::filesystem::path run_dir() const { return folder_ / "run"; }

  /// Returns: argv of `ferment run tests/road/tiny.yaml --run-dir <folder>/run` and these arguments.
  std::vector<std::string> RunCommand(const std::vector<std::string>& extra = {}) const;
  /// Starts a program; its output goes to <folder>/output.txt.
  event::ChildProcess Start(const std::vector<std::string>& argv,
                            const std::vector<std::pair<std::string, std::string>>& env = {});
  /// Waits for it, at most two minutes, and fails the test if it is still there.
  Outcome Wait(event::ChildProcess& process);
  Outcome Run(const std::vector<std::string>& argv, const std::vector<std::pair<std::string, std::string>>& env = {});

  /// Renders small sets of 32 pixels a side into <folder>/data, as `ferment data synth` lays them out.
  /// Requires: `sizes` is values of its flags, such as {"faces-train", 32}. Returns: the folder.
  std::filesystem::path RenderSets(const std::vector<std::pair<std::string, int>>& sizes);
  /// As few faces and videos as a trainer can take some steps on.
  std::filesystem::path RenderSmallestSets();
  /// Returns: the text of a spec of the least network over such sets, on one thread of the CPU, with more keys' lines.
  static std::string SmallestSpec(const std::filesystem::path& sets, const std::string& keys);

  /// Polls until `happened` or until the process has ended. Returns: whether it happened.
  bool WaitUntil(event::ChildProcess& process, const std::function<bool()>& happened);
  /// Returns: the pid of a live recorded process of this role.
  std::optional<int> PidOf(const std::string& role) const;
  /// Returns: whether this job has left a checkpoint or a result.
  bool HasCheckpoint(const std::string& job) const;
  bool HasResult(const std::string& job) const;
  /// Fails the test where the file is not there or not JSON.
  Json ReadJson(const std::filesystem::path& file) const;
  /// Every promise that a finished run makes, checked on the folder alone.
  void ExpectFinishedRun() const;
  void ExpectNoProcessLeft() const;

 private:
  std::filesystem::path folder_;
};

/// Returns: the folder of the built programs.
std::filesystem::path BinFolder();

}  // namespace ferment::road
