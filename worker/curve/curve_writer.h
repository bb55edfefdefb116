// SPDX-License-Identifier: Apache-2.0
//
// Writes a job's curve, as BackgroundWriter does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "common/io/fenced_writer.h"
#include "worker/curve/background_writer.h"

namespace ferment::worker {

/// Thread: any, but one calls Write.
class CurveWriter {
 public:
  /// As CurveFile.
  CurveWriter(const std::filesystem::path& path, std::uint64_t next_step, io::Fence may_write,
              const BackgroundOptions& options = {});

  /// Has the figures of a step written. Requires: steps ascend.
  void Write(std::uint64_t step, const std::map<std::string, double>& figures);
  /// Waits until the kernel has what was written so far, though no longer than two seconds: its disk may hang.
  void Await() const;

 private:
  BackgroundWriter writer_;
};

}  // namespace ferment::worker
