// SPDX-License-Identifier: Apache-2.0
//
// The figures of a job as it goes: the curve file, and what this process has used of the machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "common/base/result.h"

namespace ferment::worker {

/// logs/curve-<job>.jsonl: one object a logged step. Numbers that are not finite are left out.
class CurveFile {
 public:
  /// Keeps the lines of steps below `next_step` and drops later ones, which a resumed job will write again.
  /// Errors: those of io::WriteErrno.
  static Result<CurveFile> Open(const std::filesystem::path& path, std::uint64_t next_step);
  void Append(std::uint64_t step, const std::map<std::string, double>& values);

 private:
  explicit CurveFile(std::ofstream file) : file_(std::move(file)) {}
  std::ofstream file_;
};

struct ProcessUsage {
  double cpu_seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
};
/// Returns: what this process has used so far (getrusage).
ProcessUsage UsageOfThisProcess();

}  // namespace ferment::worker
