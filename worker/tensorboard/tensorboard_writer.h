// SPDX-License-Identifier: Apache-2.0
//
// Writes a job's curve for TensorBoard, as BackgroundWriter does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "common/base/clock.h"
#include "worker/curve/background_writer.h"

namespace ferment::worker {

/// Thread: one calls the methods.
class TensorboardWriter {
 public:
  /// Touches no disk until the first figures. Requires: the clock outlives the process.
  TensorboardWriter(const std::filesystem::path& folder, std::uint64_t next_step, const BackgroundOptions& options = {},
                    const Clock& clock = SystemClock());

  /// Has the figures of a step written. Requires: steps ascend.
  void Write(std::uint64_t step, const std::map<std::string, double>& figures);
  /// Returns: steps that are left out so far.
  std::uint64_t dropped() const { return writer_.dropped(); }

 private:
  const Clock& clock_;
  BackgroundWriter writer_;
};

}  // namespace ferment::worker
