// SPDX-License-Identifier: Apache-2.0
//
// The records of TensorBoard's event files (docs/formats.md, "TensorBoard").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace ferment::worker {

/// Returns: the record that a file begins with.
std::string VersionRecord(WallTime now);

/// Returns: the record at which TensorBoard forgets what it has read of `step` and of later ones.
std::string RestartRecord(WallTime now, std::uint64_t step);

/// Returns: one record of tag -> value, as floats; without those that are not finite.
std::string ScalarsRecord(WallTime now, std::uint64_t step, const std::map<std::string, double>& scalars);

/// Returns: the figure's name behind that of the section TensorBoard is to show it in, such as "loss/student_loss". The
/// job is the run's name there and in no tag, so that one chart has a figure of all jobs.
std::string TagOf(std::string_view figure);

}  // namespace ferment::worker
